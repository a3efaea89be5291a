//! A classic BPF interpreter (McCanne and Jacobson 1993; instruction set of `linux/filter.h` and pcap-filter(7)).
//!
//! Programs come compiled. They are checked once, then run over the captured bytes: the same result as libpcap's on a
//! file, whatever the source.

/// Instructions a program may have (BPF_MAXINSNS of the kernel).
pub const MAX_INSTRUCTIONS: usize = 4096;
const MEMORY: usize = 16;

/// One instruction: operation code, jumps when true and false, constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation code.
    pub code: u16,
    /// Instructions skipped when the test holds.
    pub jt: u8,
    /// Instructions skipped when it does not.
    pub jf: u8,
    /// Constant.
    pub k: u32,
}

/// A checked program.
#[derive(Clone, Debug)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// Checks a program: every operation known, every jump inside, the last instruction returns.
    ///
    /// # Errors
    /// One line that names the instruction.
    pub fn new(code: Vec<Instruction>) -> Result<Self, String> {
        if code.is_empty() || code.len() > MAX_INSTRUCTIONS {
            return Err(format!("a BPF program has 1 to {MAX_INSTRUCTIONS} instructions, not {}", code.len()));
        }
        for (at, i) in code.iter().enumerate() {
            check(*i, code.len() - at - 1)
                .map_err(|what| format!("BPF instruction {at} (code {:#x}): {what}", i.code))?;
        }
        match code.last() {
            Some(last) if last.code & 7 == 6 => Ok(Self(code)),
            _ => Err("a BPF program must end in a return".into()),
        }
    }

    /// Runs over the captured bytes; `wire` is the length on the wire. True: the frame is kept.
    #[must_use]
    pub fn matches(&self, frame: &[u8], wire: u32) -> bool {
        self.run(frame, wire).unwrap_or(0) != 0
    }

    /// The program's return value; `None` when it reads outside the frame or divides by zero (both mean: rejected).
    fn run(&self, frame: &[u8], wire: u32) -> Option<u32> {
        let (mut a, mut x, mut memory, mut pc) = (0u32, 0u32, [0u32; MEMORY], 0usize);
        loop {
            let i = self.0.get(pc)?;
            pc += 1;
            match i.code & 7 {
                0 => a = load(*i, frame, wire, x, &memory)?,
                1 => {
                    x = match i.code {
                        0xb1 => u32::from(*frame.get(i.k as usize)? & 15) << 2,
                        _ => load(*i, frame, wire, x, &memory)?,
                    }
                }
                2 => memory[i.k as usize] = a,
                3 => memory[i.k as usize] = x,
                4 => a = arithmetic(*i, a, x)?,
                5 => pc += jump(*i, a, x),
                6 => return Some(if i.code & 0x18 == 0x10 { a } else { i.k }),
                _ => {
                    if i.code & 0x80 == 0 {
                        x = a;
                    } else {
                        a = x;
                    }
                }
            }
        }
    }
}

fn check(i: Instruction, left: usize) -> Result<(), &'static str> {
    let known = match i.code {
        0x00 | 0x01 | 0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0x80 | 0x81 | 0xb1 | 0x06 | 0x16 | 0x07 | 0x87
        | 0x84 => true,
        0x60 | 0x61 | 0x02 | 0x03 => {
            if i.k as usize >= MEMORY {
                return Err("memory place out of range");
            }
            true
        }
        0x34 | 0x94 if i.k == 0 => return Err("divides by zero"),
        code if code & 7 == 4 => code & 0xf0 <= 0xa0 && code & 0xff00 == 0,
        0x05 => {
            if i.k as usize >= left {
                return Err("jumps out of the program");
            }
            true
        }
        0x15 | 0x25 | 0x35 | 0x45 | 0x1d | 0x2d | 0x3d | 0x4d => {
            if usize::from(i.jt.max(i.jf)) >= left {
                return Err("jumps out of the program");
            }
            true
        }
        _ => false,
    };
    if known {
        Ok(())
    } else {
        Err("unknown operation")
    }
}

fn load(i: Instruction, frame: &[u8], wire: u32, x: u32, memory: &[u32; MEMORY]) -> Option<u32> {
    let at = match i.code & 0xe0 {
        0x00 => return Some(i.k),
        0x60 => return memory.get(i.k as usize).copied(),
        0x80 => return Some(wire),
        0x40 => (i.k as usize).checked_add(x as usize)?,
        _ => i.k as usize,
    };
    match i.code & 0x18 {
        0x00 => Some(u32::from_be_bytes(frame.get(at..at.checked_add(4)?)?.try_into().ok()?)),
        0x08 => Some(u32::from(u16::from_be_bytes(frame.get(at..at.checked_add(2)?)?.try_into().ok()?))),
        _ => frame.get(at).map(|b| u32::from(*b)),
    }
}

fn arithmetic(i: Instruction, a: u32, x: u32) -> Option<u32> {
    let b = if i.code & 8 == 0 { i.k } else { x };
    Some(match i.code & 0xf0 {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x30 => a.checked_div(b)?,
        0x40 => a | b,
        0x50 => a & b,
        0x60 => a.checked_shl(b).unwrap_or(0),
        0x70 => a.checked_shr(b).unwrap_or(0),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(b)?,
        _ => a ^ b,
    })
}

fn jump(i: Instruction, a: u32, x: u32) -> usize {
    let b = if i.code & 8 == 0 { i.k } else { x };
    let holds = match i.code & 0xf0 {
        0x00 => return i.k as usize,
        0x10 => a == b,
        0x20 => a > b,
        0x30 => a >= b,
        _ => a & b != 0,
    };
    usize::from(if holds { i.jt } else { i.jf })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(code: &[(u16, u8, u8, u32)]) -> Result<Program, String> {
        Program::new(
            code.iter().map(|(code, jt, jf, k)| Instruction { code: *code, jt: *jt, jf: *jf, k: *k }).collect(),
        )
    }

    #[test]
    fn udp_port_5060_as_tcpdump_compiles_it() {
        // tcpdump -dd 'ip and udp port 5060' on Ethernet
        let p = program(&[
            (0x28, 0, 0, 12),
            (0x15, 0, 10, 0x800),
            (0x30, 0, 0, 23),
            (0x15, 0, 8, 17),
            (0x28, 0, 0, 20),
            (0x45, 6, 0, 0x1fff),
            (0xb1, 0, 0, 14),
            (0x48, 0, 0, 14),
            (0x15, 2, 0, 5060),
            (0x48, 0, 0, 16),
            (0x15, 0, 1, 5060),
            (0x06, 0, 0, 262_144),
            (0x06, 0, 0, 0),
        ])
        .unwrap();
        let mut f = vec![0u8; 12];
        f.extend([
            8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0xc4, 0, 9, 0, 8, 0, 0,
        ]);
        assert!(p.matches(&f, 42));
        f[34] = 0;
        assert!(!p.matches(&f, 42));
        assert!(!p.matches(&f[..20], 42)); // a load outside the frame rejects it
    }

    #[test]
    fn length_and_arithmetic() {
        let p = program(&[(0x80, 0, 0, 0), (0x34, 0, 0, 2), (0x25, 0, 1, 50), (6, 0, 0, 1), (6, 0, 0, 0)]).unwrap();
        assert!(p.matches(&[], 102) && !p.matches(&[], 101));
        let by_x = program(&[(0x01, 0, 0, 0), (0x00, 0, 0, 7), (0x3c, 0, 0, 0), (0x16, 0, 0, 0)]).unwrap();
        assert!(!by_x.matches(&[], 1)); // division by a zero X rejects
    }

    #[test]
    fn bad_programs_are_refused() {
        for (bad, word) in [
            (&[(0x15, 9, 0, 1), (6, 0, 0, 0)][..], "jumps"),
            (&[(0x34, 0, 0, 0), (6, 0, 0, 0)], "zero"),
            (&[(0x02, 0, 0, 16), (6, 0, 0, 0)], "memory"),
            (&[(0xffff, 0, 0, 0), (6, 0, 0, 0)], "unknown"),
            (&[(0x00, 0, 0, 0)], "return"),
            (&[], "1 to"),
        ] {
            assert!(program(bad).unwrap_err().contains(word), "{bad:?}");
        }
    }
}
