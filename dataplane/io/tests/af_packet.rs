//! Live capture from devices in a namespace of the test's own. What is written to a TAP arrives on it as from a wire.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::io::Write;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::{Duration, Instant};

use common::{device, frame, root, run};
use lc_io::af_packet::{create_ring, Counters, Event, Fate, Gate, Geometry, Live, Readers, Ring, Settings, Version};
use lc_wire::LinkType;

const V3: Geometry =
    Geometry { version: Version::V3, block_size: 1 << 18, block_count: 16, frame_size: 2048, retire_ms: 1 };
const V2: Geometry =
    Geometry { version: Version::V2, block_size: 1 << 18, block_count: 16, frame_size: 2048, retire_ms: 0 };
const BOTH: [Geometry; 2] = [V2, V3];
const NONE: Duration = Duration::ZERO;

fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if root() {
        std::thread::spawn(|| {
            device::enter_namespace();
            test();
        })
        .join()
        .unwrap();
    }
}

fn ifindex(name: &str) -> i32 {
    run("ip", &["-o", "link", "show", name]).split(':').next().unwrap().parse().unwrap()
}

/// A packet socket on an interface (0: all), with its ring: what the helper passes.
fn socket(ifindex: i32, geometry: &Geometry) -> File {
    // SAFETY: plain system calls on a socket that nobody else has.
    unsafe {
        let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        let file = File::from_raw_fd(fd);
        create_ring(&file, geometry).unwrap();
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = ifindex;
        let len = std::mem::size_of_val(&address) as libc::socklen_t;
        assert_eq!(libc::bind(file.as_raw_fd(), std::ptr::from_ref(&address).cast(), len), 0);
        file
    }
}

fn settings(name: &str, source: u16) -> Settings {
    Settings { name: name.to_owned(), source, ..Settings::default() }
}

fn ring(name: &str, source: u16, geometry: Geometry) -> Ring {
    Ring::new(socket(ifindex(name), &geometry), geometry, settings(name, source)).unwrap()
}

/// Reads until so many frames came, or for two seconds.
fn read(live: &mut Live, frames: usize) -> Vec<(u16, u64, LinkType, u32, Vec<u8>)> {
    let mut got = Vec::new();
    let until = Instant::now() + Duration::from_secs(2);
    while got.len() < frames && Instant::now() < until {
        while let Some(p) = live.next() {
            got.push((p.source, p.ts, p.link, p.orig_len, p.data.to_vec()));
        }
        live.wait(Duration::from_millis(5), NONE);
    }
    live.look();
    got
}

fn data(got: &[(u16, u64, LinkType, u32, Vec<u8>)]) -> Vec<Vec<u8>> {
    got.iter().map(|g| g.4.clone()).collect()
}

fn up(name: &str) {
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
    run("ip", &["link", "set", name, "up"]);
}

#[test]
fn frames_come_as_they_were_sent() {
    in_namespace(|| {
        let mut tap = device::create(libc::IFF_TAP, 1500);
        for geometry in BOTH {
            let mut live = Live::new(vec![ring("lc0", 0, geometry)], false);
            let sent: Vec<_> = (0..2000).map(|n| frame(n, 60 + (n as usize * 7) % 1400)).collect();
            let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
            sent.iter().for_each(|f| tap.write_all(f).unwrap());
            let got = read(&mut live, sent.len());
            assert!(data(&got) == sent, "{geometry:?}: {} frames", got.len());
            assert!(
                got.windows(2).all(|w| w[0].1 <= w[1].1) && got[0].1 >= before && got[0].1 < before + 2_000_000_000
            );
            assert!(got.iter().all(|g| g.2 == LinkType::ETHERNET && g.3 as usize == g.4.len()));
            assert_eq!(live.counters(0), Counters { packets: 2000, read: 2000, ..Counters::default() });
            std::thread::sleep(Duration::from_millis(2));
            assert!((2_000_000..2_000_000_000).contains(&live.passed()));
            assert!(live.passed() < 1_000_000);
        }
    });
}

#[test]
fn vlan_tags_are_back_in_place() {
    in_namespace(|| {
        let mut tap = device::create(libc::IFF_TAP, 1500);
        let plain = frame(1, 100);
        let tagged = |tags: &[u8]| [&plain[..12], tags, &plain[12..]].concat();
        let sent = [
            tagged(b"\x81\x00\x00\x07"),
            tagged(b"\x88\xa8\x00\x64\x81\x00\x00\x07"),
            tagged(b"\x81\x00\x00\x00"), // a priority tag: VID 0
            tagged(b"\x81\x00\xe0\x07"),
            tagged(b"\x91\x00\x00\x07"),
            plain.clone(),
        ];
        for geometry in BOTH {
            let mut live = Live::new(vec![ring("lc0", 0, geometry)], false);
            sent.iter().for_each(|f| tap.write_all(f).unwrap());
            let got = read(&mut live, sent.len());
            assert_eq!(data(&got), sent, "{geometry:?}");
            assert!(got.iter().all(|g| g.3 as usize == g.4.len()));
        }
    });
}

#[test]
fn a_full_ring_drops_and_every_frame_is_accounted_for() {
    in_namespace(|| {
        let mut tap = device::create(libc::IFF_TAP, 1500);
        for geometry in BOTH {
            let small = Geometry { block_size: 1 << 16, block_count: 2, ..geometry };
            let mut live = Live::new(vec![ring("lc0", 0, small)], false);
            (0..3000).for_each(|n| tap.write_all(&frame(n, 200)).unwrap());
            let mut got = read(&mut live, 3000).len() as u64;
            assert!(got < 3000);
            tap.write_all(&frame(1, 200)).unwrap(); // it goes on
            got += read(&mut live, 1).len() as u64;
            let c = live.counters(0);
            assert_eq!((c.packets, c.drops, c.read), (3001, 3001 - got, got), "{geometry:?}");
            assert_eq!(c.freezes > 0, geometry.version == Version::V3);
        }
    });
}

#[test]
fn loopback_frames_come_once() {
    in_namespace(|| {
        up("lo");
        for geometry in BOTH {
            let mut live = Live::new(vec![ring("lo", 0, geometry)], false);
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            (0..10).for_each(|_| drop(socket.send_to(b"twice", "127.0.0.1:9")));
            let got = read(&mut live, 20);
            // each datagram, and the ICMP error that answers it
            assert_eq!((got.len(), live.counters(0).loopback), (20, 20));
            assert_eq!(got[0].4.len(), 14 + 20 + 8 + 5);
        }
    });
}

#[test]
fn any_names_the_link_type_of_each_device() {
    in_namespace(|| {
        up("lo");
        let mut tun = device::create(libc::IFF_TUN, 1500);
        let mut own = settings("any", 0);
        own.own = vec![ifindex("lo")];
        let mut live = Live::new(vec![Ring::new(socket(0, &V3), V3, settings("any", 0)).unwrap()], false);
        let mut less = Live::new(vec![Ring::new(socket(0, &V3), V3, own).unwrap()], false);
        let ip = frame(1, 100)[14..].to_vec();
        tun.write_all(&ip).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", "127.0.0.1:9").unwrap();
        let links: Vec<_> = read(&mut live, 3).iter().map(|g| g.2).collect();
        assert_eq!(links, [LinkType::RAW, LinkType::ETHERNET, LinkType::ETHERNET]);
        assert_eq!(data(&read(&mut less, 1)), [ip]);
        assert!(less.counters(0).own > 0);
    });
}

#[test]
fn two_interfaces_are_one_by_time() {
    in_namespace(|| {
        run("ip", &["link", "add", "a0", "type", "veth", "peer", "name", "a1"]);
        run("ip", &["link", "add", "b0", "type", "veth", "peer", "name", "b1"]);
        ["a0", "a1", "b0", "b1"].into_iter().for_each(up);
        let senders = [socket(ifindex("a1"), &V3), socket(ifindex("b1"), &V3)];
        let mut live = Live::new(vec![ring("a0", 0, V3), ring("b0", 1, V3)], false);
        let sent: Vec<_> = (0..500).map(|n| frame(n, 100)).collect();
        for (n, f) in sent.iter().enumerate() {
            // SAFETY: sends bytes that live long enough.
            assert!(unsafe { libc::send(senders[n % 2].as_raw_fd(), f.as_ptr().cast(), f.len(), 0) } > 0);
            if n % 50 == 0 {
                std::thread::sleep(Duration::from_millis(3));
            }
        }
        let got = read(&mut live, 500);
        assert!(data(&got) == sent);
        assert!(got.iter().enumerate().all(|(n, g)| g.0 as usize == n % 2));
    });
}

/// A socket in a fanout group by flow.
fn member(ifindex: i32, group: u32) -> File {
    let file = socket(ifindex, &V3);
    // SAFETY: the kernel reads four bytes.
    let done = unsafe {
        libc::setsockopt(file.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_FANOUT, std::ptr::from_ref(&group).cast(), 4)
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    file
}

/// A frame of one of 50 flows; every tenth goes to port 9.
fn of_flow(n: u64) -> Vec<u8> {
    let mut f = frame(n, 100);
    f[35] = (n % 50) as u8;
    if n % 10 == 0 {
        f[36..38].copy_from_slice(&9u16.to_be_bytes());
    }
    f
}

#[test]
fn several_readers_bring_the_same_frames_in_the_same_order() {
    in_namespace(|| {
        let mut tap = device::create(libc::IFF_TAP, 1500);
        for workers in [1usize, 2, 3] {
            let index = ifindex("lc0");
            let made = |_| vec![Ring::new(member(index, workers as u32), V3, settings("lc0", 0)).unwrap()];
            let gate = |_| -> Gate {
                Box::new(|p: &lc_wire::Packet<'_>| if p.data[37] == 9 { Fate::Filtered } else { Fate::Keep })
            };
            let (rings, gates) = ((0..workers).map(made).collect(), (0..workers).map(gate).collect());
            let mut readers = Readers::start(rings, gates, false, NONE).unwrap();
            let sent: Vec<_> = (0..5000).map(of_flow).collect();
            for (n, f) in sent.iter().enumerate() {
                tap.write_all(f).unwrap();
                if n % 500 == 0 {
                    std::thread::sleep(Duration::from_millis(7));
                }
            }
            readers.end();
            let (mut got, mut times) = (Vec::new(), Vec::new());
            let until = Instant::now() + Duration::from_secs(5);
            while !readers.is_drained() && Instant::now() < until {
                while let Some(p) = readers.next() {
                    got.push(p.data.to_vec());
                    times.push(p.ts);
                }
                readers.wait(Duration::from_millis(1));
            }
            let kept: Vec<_> = sent.into_iter().filter(|f| f[37] != 9).collect();
            assert!(times.windows(2).all(|w| w[0] <= w[1]));
            assert!(got == kept, "{workers} readers: {} frames", got.len());
            let (c, filtered, unsupported) = readers.counters(0);
            assert_eq!((c.packets, c.read, c.drops, filtered, unsupported), (5000, 5000, 0, 500, 0));
            assert!(!readers.has_failed());
        }
    });
}

#[test]
fn duplicates_of_other_interfaces_are_left_out_when_asked() {
    in_namespace(|| {
        run("ip", &["link", "add", "a0", "type", "veth", "peer", "name", "a1"]);
        ["a0", "a1"].into_iter().for_each(up);
        let sender = socket(ifindex("a1"), &V3);
        let any = || Ring::new(socket(0, &V3), V3, settings("any", 0)).unwrap();
        let (mut all, mut once) = (Live::new(vec![any()], false), Live::new(vec![any()], true));
        for n in 0..100 {
            let f = frame(n / 2, 100); // each sent twice, on purpose
                                       // SAFETY: sends bytes that live long enough.
            assert!(unsafe { libc::send(sender.as_raw_fd(), f.as_ptr().cast(), f.len(), 0) } > 0);
        }
        assert_eq!(read(&mut all, 200).len(), 200);
        assert_eq!(read(&mut once, 100).len(), 100);
        assert_eq!(once.counters(0).duplicates, 100);
    });
}

#[test]
fn down_up_deleted_and_made_anew() {
    in_namespace(|| {
        let mut tap = device::create(libc::IFF_TAP, 1500);
        let mut live = Live::new(vec![ring("lc0", 0, V3)], false);
        tap.write_all(&frame(1, 100)).unwrap();
        assert_eq!(read(&mut live, 1).len(), 1);
        run("ip", &["link", "set", "lc0", "down"]);
        read(&mut live, 0);
        live.wait(Duration::from_millis(100), NONE);
        assert_eq!(live.take_events(), [Event::Down("lc0".into())]);
        run("ip", &["link", "set", "lc0", "up"]);
        tap.write_all(&frame(2, 100)).unwrap();
        assert_eq!(read(&mut live, 1).len(), 1);
        assert_eq!(live.take_events(), [Event::Back("lc0".into())]);
        assert!(live.deaf().is_empty());
        tap.write_all(&frame(3, 100)).unwrap();
        drop(tap);
        live.wait(Duration::from_millis(100), NONE);
        assert_eq!(read(&mut live, 1).len(), 1); // what came before its end is not lost
        assert_eq!(live.deaf(), [0]);
        let mut tap = device::create(libc::IFF_TAP, 1500);
        live.replace(vec![ring("lc0", 0, V2)]);
        assert!(live.deaf().is_empty());
        tap.write_all(&frame(4, 100)).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        live.look();
        assert_eq!(data(&read(&mut live, 1)), [frame(4, 100)]);
        let c = live.counters(0);
        assert_eq!((c.packets, c.read, c.drops), (4, 4, 0));
    });
}

#[test]
fn snap_length_and_super_frames() {
    in_namespace(|| {
        let mut tap = device::create(libc::IFF_TAP, 1500);
        let mut wanted = settings("lc0", 0);
        (wanted.snaplen, wanted.mtu) = (96, 1000);
        let ring = Ring::new(socket(ifindex("lc0"), &V3), V3, wanted).unwrap();
        let mut live = Live::new(vec![ring], false);
        let sent = frame(1, 1400);
        tap.write_all(&sent).unwrap();
        tap.write_all(&sent).unwrap();
        let got = read(&mut live, 2);
        assert_eq!((got[0].3, got[0].4.as_slice()), (1400, &sent[..96]));
        assert_eq!(live.take_events(), [Event::SuperFrame("lc0".into(), 1400)]);
    });
}

#[test]
fn what_is_no_ring_is_refused() {
    in_namespace(|| {
        up("lo");
        let file = File::open("/dev/null").unwrap();
        let told = Ring::new(file, V3, settings("lo", 0)).unwrap_err().to_string();
        assert!(told.starts_with("lo: no packet socket"), "{told}");
        let told = Ring::new(socket(1, &V3), V2, settings("lo", 0)).unwrap_err().to_string();
        assert_eq!(told, "lo: its ring has version 3 of TPACKET");
        let longer = Geometry { block_count: 17, ..V3 };
        assert!(Ring::new(socket(1, &V3), longer, settings("lo", 0)).is_err());
    });
}
