#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lc_fuzz::framing::sip_framing(data));
