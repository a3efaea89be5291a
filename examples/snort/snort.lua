-- Not run by the project's tests; see README.md.
HOME_NET = 'any'
EXTERNAL_NET = 'any'
stream = {}
stream_udp = {}
sip = {}
wizard = { spells = { { service = 'sip', proto = 'udp', client_first = true, to_server = { 'INVITE', 'REGISTER', 'OPTIONS' }, to_client = { 'SIP/' } } } }
ips =
{
    rules = [[
        alert udp any any -> any 5060 ( msg:"SIP scanner"; content:"friendly-scanner", nocase; sid:9000001; rev:1; )
        alert udp any any -> any 5060 ( msg:"SIP passwords guessed"; content:"REGISTER ", depth 9; detection_filter:track by_src, count 20, seconds 10; sid:9000002; rev:1; )
        alert udp any any -> any 5060 ( msg:"SIP INVITE flood"; content:"INVITE ", depth 7; detection_filter:track by_src, count 30, seconds 5; sid:9000003; rev:1; )
    ]],
}
