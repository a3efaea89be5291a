# Not run by the project's tests; see README.md.
@load base/protocols/sip
@load base/frameworks/notice

module LippycatExample;

export {
    redef enum Notice::Type += { SIP_Scanner };
}

event sip_header(c: connection, is_orig: bool, name: string, value: string)
    {
    if ( is_orig && to_upper(name) == "USER-AGENT" && /friendly-scanner/ in value )
        NOTICE([$note=SIP_Scanner, $conn=c, $msg=fmt("SIP scanner: %s", value), $identifier=cat(c$id$orig_h)]);
    }
