"""lippycatd: follows every SIP call and its media, keeps what was asked for, and shows it on a virtual interface."""
