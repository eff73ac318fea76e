"""What an HTTP/1.1 origin server should do with bytes, as a table: no case knows which server it is sent to.

A server under test offers two resources. GET and HEAD of `/livez` are answered 200. POST to `PRUNE` reads its body, and
when that is `BODY` answers 200 with a body that proves it (ours with the kept tokens, a peer with an echo); any other
method is answered with an error. The runner puts a marker behind the bytes of a case: a GET that asks for the end of the
connection. So a server that reads on answers it and closes, one that refuses closes, and every case ends with an event.

An outcome is written as the answers in order and how the connection ended:

    ok 200 closed     the body was understood, the marker answered, the connection closed
    400 closed        refused, and nothing behind the refusal was answered
    4xx|501 closed    alternatives
    closed            closed without an answer
    waits             nothing more came although all was sent
    101 switched      another protocol is spoken now

`accept` lists every outcome that the RFC permits, so that no server is blamed for a choice it is given. Level `must` are
requirements of the RFCs; `should` are their recommendations, and strictness that they leave open but that protects
whoever stands behind a proxy.
"""
import dataclasses

BODY = b'{"attention":[0.1,0.2,0.4,0.3]}'
LIVE = "/livez"
PRUNE = "/prune?method=topk&keep_tokens=2"
CHUNKED = "Transfer-Encoding: chunked"
LENGTH = f"Content-Length: {len(BODY)}"

# Outcomes by name.
SERVED = ["ok 200 closed"]
ONCE = ["ok closed"]
#: Refused; whether a request that is wrong but clearly delimited ends its connection is the server's choice.
BAD = ["400 closed", "400 200 closed"]
#: Refused with 400 where its end is in doubt: nothing behind it may be read.
CUT = ["400 closed"]
#: Refused in whatever way, but nothing behind it may be read.
REFUSED = ["4xx|501|505 closed", "closed"]
ANY_ERROR = ["4xx|5xx closed", "4xx|5xx 200 closed", "closed"]


@dataclasses.dataclass(frozen=True)
class Case:
    id: str
    group: str
    section: str
    level: str
    reason: str
    #: ("send", bytes), ("bytewise", bytes), ("await", n): until n answers have begun, interim ones included,
    #: ("finish",): half-close.
    steps: tuple
    accept: tuple
    #: Methods of the requests in order, where they decide whether an answer has a body.
    methods: tuple = ()
    #: Names of further checks, see CHECKS in the runner.
    checks: tuple = ()
    marker: bool = True


CASES = []


def add(group, level, name, section, reason, data, accept, **options):
    steps = data if isinstance(data, (list, tuple)) else [("send", data)]
    slug = "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
    CASES.append(Case(f"{group}/{slug}", group, section, level, reason, tuple(steps), tuple(accept), **options))


def must(group, *arguments, **options):
    add(group, "must", *arguments, **options)


def should(group, *arguments, **options):
    add(group, "should", *arguments, **options)


def raw(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def head(line, *fields, host="Host: a"):
    return b"\r\n".join([raw(line), *([raw(host)] if host is not None else []), *map(raw, fields)]) + b"\r\n\r\n"


def get(*fields, line=f"GET {LIVE} HTTP/1.1", **options):
    return head(line, *fields, **options)


def post(*fields, body=BODY, version="HTTP/1.1", **options):
    return head(f"POST {PRUNE} {version}", *fields, **options) + body


def chunks(*pieces, last=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + last


def sized(size, extension=b""):
    """The body as one chunk whose size is written `size`."""
    return size + extension + b"\r\n" + BODY + b"\r\n0\r\n\r\n"


SIZE = b"%x" % len(BODY)
OK = ["200 200 closed"]

# Request line. ------------------------------------------------------------------------------------------------------

line = "request-line"
must(line, "a plain GET", "9112 3", "the simplest request", get(), OK)
must(line, "HTTP/1.0", "9112 2.3", "1.0 is served", get(line=f"GET {LIVE} HTTP/1.0"), ["200 closed"], marker=False)
should(line, "a higher minor version", "9110 2.5", "1.x is processed as the highest minor version known",
       get(line=f"GET {LIVE} HTTP/1.2"), OK)
should(line, "minor version nine", "9110 2.5", "1.x is processed as the highest minor version known",
       get(line=f"GET {LIVE} HTTP/1.9"), OK)
must(line, "http in lower case", "9112 2.3", "HTTP-name is case-sensitive", get(line=f"GET {LIVE} http/1.1"), BAD + REFUSED)
must(line, "major version two", "9110 2.5", "another major version has other semantics",
     get(line=f"GET {LIVE} HTTP/2.0"), REFUSED)
should(line, "major version two is answered 505", "9110 15.6.6", "505 says what is wrong",
       get(line=f"GET {LIVE} HTTP/2.0"), ["505 closed"])
must(line, "major version nine", "9110 2.5", "another major version has other semantics",
     get(line=f"GET {LIVE} HTTP/9.9"), REFUSED)
for name, version in [("of three parts", "HTTP/1.1.1"), ("without minor", "HTTP/1"), ("of two digits", "HTTP/1.10"),
                      ("with leading zero", "HTTP/01.1"), ("with comma", "HTTP/1,1"), ("with letters", "HTTP/1.x"),
                      ("with sign", "HTTP/+1.1"), ("of another protocol", "HTCPCP/1.1"), ("without slash", "HTTP1.1")]:
    should(line, f"a version {name}", "9112 2.3", "HTTP-version is two digits around a dot",
           get(line=f"GET {LIVE} {version}"), REFUSED + BAD)
should(line, "no version", "9112 3", "HTTP/0.9 is no longer part of HTTP", get(line=f"GET {LIVE}"), REFUSED)
should(line, "a space for a version", "9112 3", "the version is missing", get(line=f"GET {LIVE} "), REFUSED)
should(line, "two spaces before the target", "9112 3", "one SP; readers differ on more",
       get(line=f"GET  {LIVE} HTTP/1.1"), REFUSED)
should(line, "two spaces before the version", "9112 3", "one SP; readers differ on more",
       get(line=f"GET {LIVE}  HTTP/1.1"), REFUSED)
should(line, "a space behind the version", "9112 3", "nothing may follow", get(line=f"GET {LIVE} HTTP/1.1 "), REFUSED)
should(line, "a space before the method", "9112 3", "nothing may precede", get(line=f" GET {LIVE} HTTP/1.1"), REFUSED)
for name, byte in [("tab", "\t"), ("vertical tab", "\x0b"), ("form feed", "\x0c")]:
    should(line, f"a {name} for a space", "9112 3", "only SP separates", get(line=f"GET{byte}{LIVE} HTTP/1.1"), REFUSED)
should(line, "a word behind the version", "9112 3", "three parts", get(line=f"GET {LIVE} HTTP/1.1 HTTP/1.1"), REFUSED)
must(line, "a space in the target", "9112 3.2", "no whitespace is allowed in it", get(line="GET /li vez HTTP/1.1"), REFUSED)
should(line, "one empty line before it", "9112 2.2", "at least one is to be ignored", b"\r\n" + get(), OK)
should(line, "one empty line between requests", "9112 2.2", "old clients send it behind a body",
       post(LENGTH) + b"\r\n", SERVED)
must(line, "CR alone ends it", "9112 2.2", "a bare CR is invalid or a space",
     f"GET {LIVE} HTTP/1.1\rHost: a\r\n\r\n".encode(), REFUSED)
should(line, "LF alone ends it", "9112 2.2", "allowed, but readers differ on it",
       f"GET {LIVE} HTTP/1.1\nHost: a\r\n\r\n".encode(), REFUSED)
must(line, "NUL in the target", "9112 3.2", "not a URI", get(line="GET /li\0vez HTTP/1.1"), REFUSED + BAD)
should(line, "a control byte in the target", "3986 2", "not a URI", get(line="GET /livez?\x01 HTTP/1.1"), REFUSED)
should(line, "DEL in the target", "3986 2", "not a URI", get(line="GET /livez?\x7f HTTP/1.1"), REFUSED)
should(line, "a byte above 127 in the target", "3986 2", "not a URI", get(line="GET /livez?\xe9 HTTP/1.1"), REFUSED)

# Methods. -----------------------------------------------------------------------------------------------------------

group = "methods"
must(group, "HEAD has no body", "9110 9.3.2", "the answer ends with its head", get(line=f"HEAD {LIVE} HTTP/1.1"), OK,
     methods=("HEAD",))
should(group, "HEAD has the fields of GET", "9110 9.3.2", "Content-Length as GET would have it",
       get(line=f"HEAD {LIVE} HTTP/1.1"), OK, methods=("HEAD",), checks=("lengths-equal",))
must(group, "HEAD of what is not there has no body", "9110 9.3.2", "errors too", get(line="HEAD /nowhere HTTP/1.1"),
     ["404 200 closed", "404 closed"], methods=("HEAD",))
should(group, "an unknown method", "9110 9.1", "501, or 405", get(line=f"BREW {LIVE} HTTP/1.1"),
       ["405|501 200 closed", "405|501 closed"])
should(group, "a method in lower case", "9110 9.1", "methods are case-sensitive", get(line=f"get {LIVE} HTTP/1.1"),
       ["400|405|501 200 closed", "400|405|501 closed"])
must(group, "405 names what is allowed", "9110 15.5.6", "Allow is required", get(line=f"DELETE {LIVE} HTTP/1.1"),
     ["405 200 closed", "405 closed"], checks=("allow",))
must(group, "a method that is no token", "9112 3.1", "method = token", get(line=f"G@T {LIVE} HTTP/1.1"),
     BAD + ["405|501 200 closed", "405|501 closed"])
should(group, "a method that is no token is answered 400", "9112 3", "an invalid request line",
       get(line=f"G@T {LIVE} HTTP/1.1"), BAD)
should(group, "a method in quotes", "9112 3", "an invalid request line", get(line=f'"GET" {LIVE} HTTP/1.1'), BAD)
should(group, "no method", "9112 3", "an invalid request line", get(line=f"{LIVE} HTTP/1.1"), REFUSED)
must(group, "CONNECT opens no tunnel", "9110 9.3.6", "an origin server has none to offer",
     get(line="CONNECT a:443 HTTP/1.1"), ANY_ERROR)
should(group, "CONNECT with a path", "9112 3.2.3", "its target is an authority", get(line=f"CONNECT {LIVE} HTTP/1.1"), ANY_ERROR)
must(group, "TRACE", "9110 9.3.8", "echoed as message/http, or not at all", get(line=f"TRACE {LIVE} HTTP/1.1"),
     ANY_ERROR + ["200 200 closed"])
should(group, "TRACE reveals nothing", "9110 9.3.8", "the fields may hold secrets", get("Cookie: secret", line=f"TRACE {LIVE} HTTP/1.1"),
       ANY_ERROR, checks=("no-secret",))
should(group, "OPTIONS of a resource", "9110 9.3.7", "with Allow, whether it is supported or not", head(f"OPTIONS {PRUNE} HTTP/1.1"),
       ["200|204|405 200 closed", "501 200 closed"], checks=("allow",))
should(group, "OPTIONS of the server", "9112 3.2.4", "asterisk-form is well-formed, whether it is supported or not",
       head("OPTIONS * HTTP/1.1"), ["200|204|404|405|501 200 closed"])
must(group, "GET with a body that means nothing", "9110 9.3.1", "read or refused, never taken for a request",
     get("Content-Length: 5") + b"GET /", OK + ["4xx closed"])
must(group, "GET with a chunked body", "9110 9.3.1", "read or refused, never taken for a request",
     get(CHUNKED) + chunks(b"GET / HTTP/1.1\r\n\r\n"), OK + ["4xx closed"])
must(group, "HEAD with a body that means nothing", "9110 9.3.2", "read or refused, never taken for a request",
     get("Content-Length: 5", line=f"HEAD {LIVE} HTTP/1.1") + b"GET /", OK + ["4xx closed"], methods=("HEAD",))
must(group, "DELETE with a body", "9110 9.3.5", "read or refused, never taken for a request",
     get("Content-Length: 18", line=f"DELETE {LIVE} HTTP/1.1") + b"GET / HTTP/1.1\r\n\r\n", ["4xx 200 closed", "4xx closed"])

# Targets. -----------------------------------------------------------------------------------------------------------

group = "targets"
must(group, "absolute form", "9112 3.2.2", "required of servers", get(line=f"GET http://a{LIVE} HTTP/1.1"), OK)
must(group, "absolute form with a port", "9112 3.2.2", "required of servers",
     get(line=f"GET http://a:80{LIVE} HTTP/1.1", host="Host: a:80"), OK)
must(group, "absolute form with another Host", "9112 3.2.2", "the target wins; or the contradiction is refused",
     get(line=f"GET http://b{LIVE} HTTP/1.1"), OK + BAD)
should(group, "a scheme in upper case", "3986 3.1", "schemes are case-insensitive", get(line=f"GET HTTP://a{LIVE} HTTP/1.1"), OK)
must(group, "absolute form without Host", "9112 3.2", "Host is required all the same",
     get(line=f"GET http://a{LIVE} HTTP/1.1", host=None), BAD)
must(group, "absolute form without path", "9112 3.2.1", "the path is /", get(line="GET http://a HTTP/1.1"),
     ["200|302|404|405 200 closed", "404 closed"])
should(group, "absolute form with user information", "9110 4.2.4", "from an untrusted source an error",
       get(line=f"GET http://u:p@a{LIVE} HTTP/1.1"), BAD + ["421 closed"])
should(group, "another scheme", "9112 3.2.2", "not served here", get(line=f"GET ftp://a{LIVE} HTTP/1.1"),
       ["4xx|501 closed", "4xx 200 closed"])
should(group, "percent-encoded letters", "3986 6.2.2.2", "an escaped letter is the letter, or no second spelling is served",
       get(line="GET /%6civez HTTP/1.1"), OK + ["4xx 200 closed"])
should(group, "a broken escape", "3986 2.1", "not a URI", get(line="GET /livez%zz HTTP/1.1"), ["4xx 200 closed", "4xx closed"])
should(group, "an escaped NUL", "3986 7.3", "no path has one", get(line="GET /livez%00 HTTP/1.1"), ["4xx 200 closed", "4xx closed"])
should(group, "a fragment", "9112 3.2", "a target has none", get(line="GET /livez#top HTTP/1.1"), BAD)
should(group, "a relative path", "9112 3.2", "no form of a target", get(line="GET livez HTTP/1.1"), BAD)
should(group, "an asterisk for GET", "9112 3.2.4", "for OPTIONS only", get(line="GET * HTTP/1.1"), BAD + ["404|405 200 closed"])
must(group, "a query", "3986 3.4", "it is no part of the path", get(line="GET /livez? HTTP/1.1"), OK)
should(group, "dot segments do not escape", "3986 5.2.4", "nothing lies above the root",
       get(line="GET /../../../../etc/passwd HTTP/1.1"), ["4xx 200 closed", "4xx closed"])

# Fields. ------------------------------------------------------------------------------------------------------------

group = "fields"
must(group, "names in any case", "9110 5.1", "names are case-insensitive", get("CONNECTION: keep-alive", host="hOsT: a"), OK)
must(group, "no space behind the colon", "9112 5", "OWS is optional", get("Accept:*/*", host="Host:a"), OK)
must(group, "spaces and tabs around a value", "9112 5", "OWS is no part of the value",
     get("Accept: \t */* \t ", host="Host: \t a \t"), OK)
must(group, "whitespace around a length", "9112 5", "OWS is no part of the value",
     post(f"Content-Length:\t {len(BODY)} \t"), SERVED)
must(group, "an empty value", "9110 5.5", "a value may be empty", get("X-Empty:", "X-Blank:   "), OK)
must(group, "every byte of a token in a name", "9110 5.6.2", "all are allowed", get("!#$%&'*+-.^_`|~09azAZ: x"), OK)
must(group, "bytes above 127 in a value", "9110 5.5", "obs-text", get("X-Name: J\xfcrgen"), OK)
must(group, "a tab inside a value", "9110 5.5", "field content may have them", get("X: a\tb"), OK)
must(group, "colons and commas in a value", "9110 5.5", "they are ordinary", get("X: a:b,c:,,;"), OK)
must(group, "unknown fields", "9110 5.1", "they are ignored", get("X-Foo: 1", "X-Foo: 2", "Zzz: 3"), OK)
must(group, "a space before the colon", "9112 5.1", "400 is required", get("X-Foo : 1"), CUT + BAD)
must(group, "a space before the colon of a length", "9112 5.1", "400 is required", post(f"Content-Length : {len(BODY)}"), CUT)
must(group, "a tab before the colon of an encoding", "9112 5.1", "400 is required",
     post("Transfer-Encoding\t: chunked", body=chunks(BODY)), CUT)
must(group, "a folded line", "9112 5.2", "refused, or unfolded", get("X: a\r\n b"), OK + BAD)
should(group, "a folded line is refused", "9112 5.2", "readers differ on it", get("X: a\r\n b"), BAD)
should(group, "a line folded with a tab is refused", "9112 5.2", "readers differ on it", get("X: a\r\n\tb"), BAD)
should(group, "a folded encoding is refused", "9112 5.2", "a way to hide a length",
       post("Transfer-Encoding:\r\n chunked", body=chunks(BODY)), CUT)
must(group, "a space before the first field", "9112 2.2", "refused, or the line left out", get(host=" X: b\r\nHost: a"), BAD + OK)
should(group, "a space before the first field is refused", "9112 2.2", "readers differ on it", get(host=" X: b\r\nHost: a"), BAD)
must(group, "NUL in a value", "9110 5.5", "refused, or replaced", get("X: a\0b"), OK + BAD)
should(group, "NUL in a value is refused", "9110 5.5", "invalid and dangerous", get("X: a\0b"), BAD)
must(group, "CR in a value", "9112 2.2", "refused, or replaced", get("X: a\rb"), OK + BAD)
should(group, "CR in a value is refused", "9112 2.2", "readers differ on it", get("X: a\rb"), BAD)
should(group, "CR in a value that hides a field", "9112 2.2", "readers differ on it",
       post("X: a\rTransfer-Encoding: chunked", LENGTH), CUT + BAD)
for name, byte in [("BEL", "\x07"), ("escape", "\x1b"), ("DEL", "\x7f"), ("vertical tab", "\x0b")]:
    should(group, f"{name} in a value", "9110 5.5", "no control bytes but HTAB", get(f"X: a{byte}b"), BAD)
should(group, "LF alone ends a field", "9112 2.2", "allowed, but readers differ on it", get("X: a\nY: b"), BAD)
should(group, "LF alone ends the head", "9112 2.2", "allowed, but readers differ on it",
       f"GET {LIVE} HTTP/1.1\r\nHost: a\r\n\n".encode(), REFUSED)
should(group, "LF CR ends the head", "9112 2.2", "no line end", f"GET {LIVE} HTTP/1.1\r\nHost: a\n\r\n".encode(), REFUSED)
should(group, "CR CR LF ends a field", "9112 2.2", "a bare CR", get("X: a\r"), BAD)
should(group, "an empty name", "9112 5", "field-name is a token", get(": a"), BAD)
should(group, "a name in brackets", "9112 5", "field-name is a token", get("X(y): a"), BAD)
should(group, "a name with NUL", "9112 5", "field-name is a token", get("X\0y: a"), BAD)
should(group, "a name with a space", "9112 5", "field-name is a token", get("X y: a"), BAD)
should(group, "a name above 127", "9112 5", "field-name is a token", get("X\xe9: a"), BAD)
should(group, "a name with vertical tab before encoding", "9112 5", "a way to hide a length",
       post("\x0bTransfer-Encoding: chunked", LENGTH), CUT)
should(group, "a line without a colon", "9112 5", "no field", get("nonsense"), BAD)
should(group, "a second request line among the fields", "9112 5", "no field", get(f"GET {LIVE} HTTP/1.1"), BAD)

# Host. --------------------------------------------------------------------------------------------------------------

group = "host"
must(group, "no Host", "9112 3.2", "400 is required", get(host=None), BAD)
must(group, "two Hosts", "9112 3.2", "400 is required", get("Host: b"), BAD)
must(group, "two equal Hosts", "9112 3.2", "400 is required", get("Host: a"), BAD)
must(group, "two Hosts apart and in other case", "9112 3.2", "400 is required", get("Accept: */*", "hOST: a"), BAD)
must(group, "two Hosts in HTTP/1.0", "9112 3.2", "any request", get("Host: b", line=f"GET {LIVE} HTTP/1.0"), ["400 closed"])
must(group, "no Host in HTTP/1.0", "9112 3.2", "1.0 has none", get(line=f"GET {LIVE} HTTP/1.0", host=None), ["200 closed"], marker=False)
must(group, "an empty Host", "9112 3.2", "valid by grammar, of no http URI", get(host="Host:"), OK + BAD)
for name, value in [("a name and port", "a.example:8080"), ("an IPv4 address", "127.0.0.1:80"), ("an IPv6 address", "[::1]"),
                    ("an IPv6 address and port", "[2001:db8::1]:8080"), ("an empty port", "a:"), ("escapes", "a%41.example"),
                    ("an underscore", "a_b"), ("capitals", "A.EXAMPLE")]:
    must(group, f"{name} is a host", "3986 3.2.2", "valid", get(host=f"Host: {value}"), OK)
for name, value in [("a path", "a/b"), ("user information", "u@a"), ("a space", "a b"), ("a scheme", "http://a"),
                    ("a list", "a, b"), ("a query", "a?b"), ("a fragment", "a#b"), ("a backslash", "a\\b"),
                    ("a port of letters", "a:http"), ("two ports", "a:80:80"), ("an open bracket", "[::1"),
                    ("a broken IPv6 address", "[1:2]"), ("a broken escape", "a%4"), ("quotes", '"a"'), ("angle brackets", "<a>"),
                    ("a byte above 127", "\xe9"), ("a negative port", "a:-1")]:
    must(group, f"a Host with {name}", "9112 3.2", "400 is required for an invalid value", get(host=f"Host: {value}"), BAD)

# Content-Length. ----------------------------------------------------------------------------------------------------

group = "content-length"
SMUGGLED = f"GET {LIVE} HTTP/1.1\r\nHost: smuggled\r\n\r\n".encode()
must(group, "a body of that length", "9112 6.2", "read in full", post(LENGTH), SERVED)
must(group, "a body that looks like a request", "9112 6.2", "it is a body",
     head(f"POST {PRUNE} HTTP/1.1", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED, ["4xx 200 closed", "4xx closed"])
must(group, "zero", "9110 8.6", "no body", post("Content-Length: 0", body=b""), ["4xx|200 200 closed", "4xx closed"])
must(group, "no length", "9112 6.3", "no body", post(body=b""), ["4xx|200 200 closed", "4xx closed"])
must(group, "leading zeros", "9110 8.6", "1*DIGIT", post(f"Content-Length: 000{len(BODY)}"), SERVED + CUT)
must(group, "two that are equal", "9112 6.3", "folded, or refused", post(LENGTH, LENGTH), SERVED + CUT)
must(group, "a list that is equal", "9112 6.3", "folded, or refused", post(f"Content-Length: {len(BODY)}, {len(BODY)}"), SERVED + CUT)
for name, fields in [
        ("two that differ", (LENGTH, "Content-Length: 5")), ("two that differ the other way", ("Content-Length: 5", LENGTH)),
        ("a list that differs", (f"Content-Length: {len(BODY)}, 5",)), ("a sign", (f"Content-Length: +{len(BODY)}",)),
        ("a negative number", ("Content-Length: -1",)), ("hexadecimal", ("Content-Length: 0x1f",)),
        ("a separator", ("Content-Length: 3_1",)), ("a fraction", ("Content-Length: 31.0",)),
        ("an exponent", ("Content-Length: 3e1",)), ("words", ("Content-Length: many",)),
        ("a space inside", ("Content-Length: 3 1",)), ("quotes", ('Content-Length: "31"',)),
        ("a parameter", ("Content-Length: 31;q=1",)), ("an empty list member", ("Content-Length: ,31",)),
        ("an empty value", ("Content-Length:",)), ("wide digits", (b"Content-Length: \xef\xbc\x93\xef\xbc\x91",)),
        ("NUL behind it", ("Content-Length: 31\0",)), ("vertical tab before it", ("Content-Length: \x0b31",))]:
    must(group, name, "9112 6.3", "400 and the end of the connection are required", post(*fields), CUT)
for name, length in [("2^64 and what is there", (1 << 64) + len(BODY)), ("2^32 and what is there", (1 << 32) + len(BODY)),
                     ("2^63", 1 << 63), ("a thousand digits", "9" * 1000)]:
    must(group, name, "9110 8.6", "no overflow: what follows is body", post(f"Content-Length: {length}"), REFUSED + ["waits"])
should(group, "2^64 is refused at once", "9110 8.6", "it cannot be stored", post(f"Content-Length: {1 << 64}"), REFUSED)
must(group, "a body cut short", "9112 8", "an incomplete message is not processed", [("send", post(LENGTH)[:-3]), ("finish",)],
     ["4xx closed", "closed"], marker=False)

# Transfer-Encoding. -------------------------------------------------------------------------------------------------

group = "transfer-encoding"
must(group, "chunked", "9112 7.1", "required of every recipient", post(CHUNKED, body=chunks(BODY)), SERVED)
must(group, "chunked in capitals", "9112 7", "codings are case-insensitive", post("TRANSFER-ENCODING: CHUNKED", body=chunks(BODY)), SERVED)
must(group, "chunked between spaces", "9112 5", "OWS is no part of the value", post("Transfer-Encoding: \t chunked \t", body=chunks(BODY)), SERVED)
both = ["ok closed", "4xx closed", "closed"]
must(group, "with a length", "9112 6.3", "the connection must end, whatever is answered",
     post(CHUNKED, "Content-Length: 4", body=chunks(BODY)), both)
must(group, "with a length before it", "9112 6.3", "the connection must end, whatever is answered",
     post("Content-Length: 4", CHUNKED, body=chunks(BODY)), both)
should(group, "with a length is refused", "9112 6.3", "smuggling: whoever sent it read it differently",
       post(CHUNKED, "Content-Length: 4", body=chunks(BODY)), CUT)
should(group, "an end of chunks before the length's", "9112 6.3", "smuggling: CL.TE",
       post(f"Content-Length: {5 + len(SMUGGLED)}", CHUNKED, body=b"0\r\n\r\n" + SMUGGLED), CUT)
should(group, "a length before the end of chunks", "9112 6.3", "smuggling: TE.CL",
       post("Content-Length: 4", CHUNKED, body=b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n"), CUT)
must(group, "in HTTP/1.0", "9112 6.1", "faulty framing: the connection must end",
     post(CHUNKED, "Connection: keep-alive", version="HTTP/1.0", body=chunks(BODY)), ["ok|4xx|501 closed", "closed"])
should(group, "in HTTP/1.0 is refused", "9112 6.1", "whoever forwarded it may not have read it",
       post(CHUNKED, "Connection: keep-alive", version="HTTP/1.0", body=chunks(BODY)), REFUSED)
must(group, "chunked not last", "9112 6.3", "400: the length cannot be known",
     post("Transfer-Encoding: chunked, gzip", body=chunks(BODY)), ["400|501 closed"])
must(group, "gzip alone", "9112 6.3", "400: the length cannot be known", post("Transfer-Encoding: gzip", body=BODY), ["400|501 closed"])
should(group, "an unknown coding is answered 501", "9112 6.1", "what is not understood",
       post("Transfer-Encoding: tea, chunked", body=chunks(BODY)), ["501 closed"])
must(group, "an unknown coding", "9112 6.1", "not understood", post("Transfer-Encoding: tea, chunked", body=chunks(BODY)), ["400|501 closed"])
must(group, "identity", "9112 6.3", "gone since 2014; not chunked", post("Transfer-Encoding: identity", LENGTH), REFUSED + ["ok closed"])
should(group, "identity is refused", "9112 6.3", "readers differ on it", post("Transfer-Encoding: identity", LENGTH), REFUSED)
for name, fields in [
        ("chunked twice", (CHUNKED, CHUNKED)), ("chunked twice in a list", ("Transfer-Encoding: chunked, chunked",)),
        ("identity and chunked", ("Transfer-Encoding: identity, chunked",)),
        ("chunked and identity in two lines", (CHUNKED, "Transfer-Encoding: identity")),
        ("identity and chunked in two lines", ("Transfer-Encoding: identity", CHUNKED)),
        ("a look-alike", ("Transfer-Encoding: xchunked",)), ("a longer word", ("Transfer-Encoding: chunkedd",)),
        ("quotes", ('Transfer-Encoding: "chunked"',)), ("a parameter", ("Transfer-Encoding: chunked;q=1",)),
        ("an empty member before it", ("Transfer-Encoding: , chunked",)),
        ("an empty member behind it", ("Transfer-Encoding: chunked,",)),
        ("an empty value", ("Transfer-Encoding:",)), ("vertical tab before it", ("Transfer-Encoding: \x0bchunked",)),
        ("NUL behind it", ("Transfer-Encoding: chunked\0",)), ("CR before it", ("Transfer-Encoding: \rchunked",)),
        ("a space inside", ("Transfer-Encoding: chun ked",)), ("a Kelvin sign", (b"Transfer-Encoding: chun\xe2\x84\xaaed",)),
        ("LF alone before it", (f"X: a\n{CHUNKED}",))]:
    should(group, name, "9112 6.1", "readers differ on it: smuggling", post(*fields, body=chunks(BODY)), REFUSED)
must(group, "another spelling of the name beside a length", "9112 6.3", "another field: the length counts",
     post("Transfer_Encoding: chunked", LENGTH), SERVED + CUT)

# Chunks. ------------------------------------------------------------------------------------------------------------

group = "chunks"


def chunked(body):
    return post(CHUNKED, body=body)


must(group, "several", "9112 7.1", "joined", chunked(chunks(BODY[:1], BODY[1:9], BODY[9:])), SERVED)
must(group, "of one byte", "9112 7.1", "joined", chunked(chunks(*(BODY[n:n + 1] for n in range(len(BODY))))), SERVED)
must(group, "sizes in upper case", "9112 7.1", "HEXDIG in either case", chunked(sized(SIZE.upper())), SERVED)
must(group, "sizes with leading zeros", "9112 7.1", "1*HEXDIG", chunked(b"000" + sized(SIZE)[:-5] + b"000\r\n\r\n"), SERVED)
for name, extension in [("a name", b";a"), ("a name and value", b";a=b"), ("several", b";a=1;b=2;c"), ("a quoted value", b';a="b;c\\"d"')]:
    must(group, f"an extension of {name}", "9112 7.1.1", "unknown extensions are ignored", chunked(sized(SIZE, extension)), SERVED)
must(group, "an extension of the last chunk", "9112 7.1.1", "unknown extensions are ignored",
     chunked(sized(SIZE)[:-5] + b"0;a=b\r\n\r\n"), SERVED)
must(group, "whitespace before an extension", "9112 7.1.1", "BWS is to be read; or it is refused", chunked(sized(SIZE, b" ; a")), SERVED + CUT)
must(group, "only the last", "9112 7.1", "an empty body", chunked(b"0\r\n\r\n"), ["4xx|200 200 closed", "4xx closed"])
must(group, "data that looks like chunks", "9112 7.1", "sizes count, not looks", head(f"POST {PRUNE} HTTP/1.1", CHUNKED)
     + chunks(b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n"), ["4xx 200 closed", "4xx closed"])
for name, size in [("0x", b"0x" + SIZE), ("a plus sign", b"+" + SIZE), ("a minus sign", b"-" + SIZE), ("an underscore", b"1_f"),
                   ("a space before it", b" " + SIZE), ("a tab before it", b"\t" + SIZE), ("a letter beyond f", b"1g"),
                   ("a fraction", b"1f.0"), ("quotes", b'"1f"'), ("NUL behind it", SIZE + b"\0"), ("no digits", b""),
                   ("only an extension", b";a=1f"), ("h behind it", SIZE + b"h"), ("wide digits", b"\xef\xbc\x911f")]:
    should(group, f"a size with {name}", "9112 7.1", "1*HEXDIG; readers differ on the rest", chunked(sized(size)), REFUSED)
for name, size in [("2^64", b"1" + b"0" * 16), ("2^64 and what is there", b"1" + b"0" * (16 - len(SIZE)) + SIZE),
                   ("2^32 and what is there", b"1" + b"0" * (8 - len(SIZE)) + SIZE), ("2^63", b"8" + b"0" * 15),
                   ("2^64 less one", b"f" * 16)]:
    must(group, f"a size of {name}", "9112 7.1", "no overflow: what follows is data", chunked(sized(size)), REFUSED + ["waits"])
should(group, "a size of 2^64 is refused at once", "9112 7.1", "it cannot be stored", chunked(sized(b"1" + b"0" * 16)), REFUSED)
should(group, "a thousand zeros before a size", "9112 7.1", "a limit, like any other", chunked(b"0" * 1000 + sized(SIZE)), REFUSED)
must(group, "data longer than its size", "9112 7.1", "CRLF must follow", chunked(b"1\r\n" + BODY + b"\r\n0\r\n\r\n"), REFUSED)
should(group, "data shorter than its size", "9112 7.1", "CRLF must follow", chunked(b"%x\r\n" % (len(BODY) + 1) + BODY + b"\r\n0\r\n\r\n"),
     REFUSED + ["waits"])
must(group, "data without its line end", "9112 7.1", "CRLF must follow", chunked(SIZE + b"\r\n" + BODY + b"0\r\n\r\n"), REFUSED)
for name, data in [("behind a size", SIZE + b"\n" + BODY + b"\r\n0\r\n\r\n"), ("behind data", SIZE + b"\r\n" + BODY + b"\n0\r\n\r\n"),
                   ("behind the last size", SIZE + b"\r\n" + BODY + b"\r\n0\n\r\n"), ("at the end", SIZE + b"\r\n" + BODY + b"\r\n0\r\n\n"),
                   ("in an extension", SIZE + b";a\nxx\r\n" + BODY + b"\r\n0\r\n\r\n")]:
    should(group, f"LF alone {name}", "9112 7.1", "not a line end here: smuggling", chunked(data), REFUSED)
for name, data in [("behind a size", SIZE + b"\rX" + BODY + b"\r\n0\r\n\r\n"), ("in an extension", SIZE + b";a\rb\r\n" + BODY + b"\r\n0\r\n\r\n"),
                   ("behind data", SIZE + b"\r\n" + BODY + b"\rX0\r\n\r\n")]:
    should(group, f"CR alone {name}", "9112 2.2", "not a line end: smuggling", chunked(data), REFUSED)
should(group, "NUL in an extension", "9112 7.1.1", "neither token nor quoted string", chunked(sized(SIZE, b";a\0b")), REFUSED)
should(group, "an endless extension", "9112 7.1.1", "their total length should be limited",
       [("send", head(f"POST {PRUNE} HTTP/1.1", CHUNKED) + SIZE + b";" + b"a" * 200_000)], REFUSED)
should(group, "whitespace behind a size", "9112 7.1", "only an extension may follow", chunked(sized(SIZE, b" ")), REFUSED)
must(group, "an end amidst a chunk", "9112 8", "an incomplete message is not processed",
     [("send", head(f"POST {PRUNE} HTTP/1.1", CHUNKED) + SIZE + b"\r\n" + BODY[:9]), ("finish",)], ["4xx closed", "closed"], marker=False)
must(group, "an end before the last chunk", "9112 8", "an incomplete message is not processed",
     [("send", head(f"POST {PRUNE} HTTP/1.1", CHUNKED) + chunks(BODY, last=b"")), ("finish",)], ["4xx closed", "closed"], marker=False)

# Trailers. ----------------------------------------------------------------------------------------------------------

group = "trailers"


def trailed(trailer):
    return post(CHUNKED, body=chunks(BODY, last=b"0\r\n" + trailer + b"\r\n"))


must(group, "one", "9112 7.1.2", "kept apart or dropped", trailed(b"X-Sum: 1\r\n"), SERVED)
must(group, "several", "9112 7.1.2", "kept apart or dropped", trailed(b"X: 1\r\nY: 2\r\nZ: \r\n"), SERVED)
must(group, "a length", "9110 6.5.1", "it has no meaning there", trailed(b"Content-Length: 3\r\n"), SERVED + CUT)
must(group, "an encoding", "9110 6.5.1", "it has no meaning there", trailed(b"Transfer-Encoding: chunked\r\n"), SERVED + CUT)
must(group, "a Host", "9110 6.5.1", "it has no meaning there", trailed(b"Host: b\r\n"), SERVED + CUT)
must(group, "Connection: close", "9110 6.5.1", "it has no meaning there", trailed(b"Connection: close\r\n"), SERVED + CUT)
for name, trailer in [("no colon", b"nonsense\r\n"), ("a space before the colon", b"X : a\r\n"), ("an empty name", b": a\r\n"),
                      ("a folded line", b"X: a\r\n b\r\n"), ("NUL", b"X: a\0\r\n"), ("CR alone", b"X: a\rb\r\n"),
                      ("LF alone", b"X: a\nY: b\r\n"), ("a request line", f"GET {LIVE} HTTP/1.1\r\n".encode())]:
    should(group, f"a trailer with {name}", "9112 7.1.2", "field syntax holds there too", trailed(trailer), REFUSED)
should(group, "trailers without end", "9112 7.1.2", "a limit, like that of the head",
       trailed(b"".join(b"X-%d: a\r\n" % n for n in range(20_000))), REFUSED)

# Persistence. -------------------------------------------------------------------------------------------------------

group = "persistence"
must(group, "HTTP/1.1 keeps alive", "9112 9.3", "by default", get() + get(), ["200 200 200 closed"])
must(group, "close ends it", "9112 9.6", "the last answer", get("Connection: close"), ["200 closed"], marker=False)
should(group, "close is announced", "9112 9.6", "the last answer says so", get("Connection: close"), ["200 closed"], marker=False, checks=("close",))
must(group, "close in any case", "9110 7.6.1", "options are case-insensitive", get("Connection: CLOSE"), ["200 closed"], marker=False)
must(group, "close in a list", "9110 7.6.1", "a list of options", get("Connection: TE, close", "TE: trailers"), ["200 closed"], marker=False)
must(group, "close first in a list", "9110 7.6.1", "a list of options", get("Connection: close, TE", "TE: trailers"), ["200 closed"], marker=False)
must(group, "close in a second line", "9110 5.3", "lines are one list", get("Connection: TE", "Connection: close", "TE: trailers"), ["200 closed"], marker=False)
must(group, "close among empty members", "9110 5.6.1", "they are ignored", get("Connection: , ,close ,"), ["200 closed"], marker=False)
must(group, "close beside keep-alive", "9112 9.3", "close wins", get("Connection: keep-alive, close"), ["200 closed"], marker=False)
should(group, "a word with close in it", "9110 7.6.1", "another option", get("Connection: closed, unclose"), OK)
must(group, "an empty Connection", "9110 7.6.1", "no option", get("Connection:"), OK)
must(group, "close with a body", "9112 9.6", "the answer comes first", post(LENGTH, "Connection: close"), ONCE, marker=False)
must(group, "close with chunks", "9112 9.6", "the answer comes first", post(CHUNKED, "Connection: close", body=chunks(BODY)), ONCE, marker=False)
old = f"GET {LIVE} HTTP/1.0"
must(group, "HTTP/1.0 ends", "9112 9.3", "by default", get(line=old), ["200 closed"], marker=False)
must(group, "HTTP/1.0 with Keep-Alive in capitals is told", "9112 9.3", "or it would wait for the end", get("Connection: Keep-Alive", line=old),
     ["200 200 closed", "200 closed"], checks=("keep-alive-told",))
must(group, "HTTP/1.0 with keep-alive is told", "9112 9.3", "or it would wait for the end", get("Connection: keep-alive", line=old),
     ["200 200 closed", "200 closed"], checks=("keep-alive-told",))
must(group, "HTTP/1.0 with close and keep-alive", "9112 9.3", "close wins", get("Connection: keep-alive, close", line=old), ["200 closed"], marker=False)
must(group, "HTTP/1.0 gets no chunks", "9112 6.1", "1.0 has none", get(line=old), ["200 closed"], marker=False, checks=("not-chunked",))
must(group, "HTTP/1.0 posts a length", "9112 6.3", "1.0 has lengths", post(LENGTH, version="HTTP/1.0"), ONCE, marker=False)
must(group, "404 lives on", "9112 9.3", "an answer like any other", get(line="GET /nowhere HTTP/1.1"), ["404 200 closed"])
must(group, "Upgrade to HTTP/2 may be ignored", "9110 7.8", "never required",
     get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), OK + ["101 switched"])
must(group, "Upgrade to an unknown protocol is ignored", "9110 7.8", "never required", get("Connection: Upgrade", "Upgrade: tea/1"), OK)
should(group, "a half-closed client gets its answer", "9112 9.6", "the end of its bytes is not the end of its interest",
       [("send", post(LENGTH)), ("finish",)], ONCE + ["ok waits"], marker=False)
should(group, "a half-closed client gets all answers", "9112 9.6", "the end of its bytes is not the end of its interest",
       [("send", get() + post(LENGTH) + get()), ("finish",)], ["200 ok 200 closed", "200 ok 200 waits"], marker=False)
should(group, "an end before any byte", "9112 9.5", "nothing to answer", [("finish",)], ["closed", "4xx closed"], marker=False)
must(group, "an end inside a head", "9112 8", "an incomplete message is not processed", [("send", get()[:-2]), ("finish",)],
     ["4xx closed", "closed"], marker=False)

# Pipelining. --------------------------------------------------------------------------------------------------------

group = "pipelining"
must(group, "two GETs", "9112 9.3.2", "answered in order", get() * 2, ["200 200 200 closed"])
must(group, "GET POST GET", "9112 9.3.2", "answered in order", get() + post(LENGTH) + get(), ["200 ok 200 200 closed"])
must(group, "POST of length POST of chunks", "9112 9.3.2", "each body has its end",
     post(LENGTH) + post(CHUNKED, body=chunks(BODY)) + post(LENGTH), ["ok ok ok 200 closed"])
must(group, "HEAD between GETs", "9112 9.3.2", "an answer without body between others",
     get() + get(line=f"HEAD {LIVE} HTTP/1.1") + get(), ["200 200 200 200 closed"], methods=("GET", "HEAD", "GET", "GET"))
must(group, "fifty GETs", "9112 9.3.2", "answered in order", get() * 50, ["200 " * 51 + "closed"])
must(group, "an error between", "9112 9.3.2", "answered in order", get() + get(line="GET /nowhere HTTP/1.1") + get(),
     ["200 404 200 200 closed"])
must(group, "nothing behind close", "9112 9.6", "what follows is not processed", get() + get("Connection: close") + get() * 3, ["200 200 closed"])
must(group, "nothing behind a refusal", "9112 6.3", "what follows is not a request",
     get() + post("Content-Length: x", body=SMUGGLED) + get(), ["200 400 closed"])
must(group, "the next request in pieces", "9112 2", "bytes, not segments",
     [("send", post(LENGTH) + get()[:9]), ("await", 1), ("send", get()[9:])], ["ok 200 200 closed"])
must(group, "a request behind the last chunk", "9112 7.1", "in the same segment", post(CHUNKED, body=chunks(BODY)) + get() + get(),
     ["ok 200 200 200 closed"])

# Expect. ------------------------------------------------------------------------------------------------------------

group = "expect"
EXPECT = "Expect: 100-continue"
WAITING = head(f"POST {PRUNE} HTTP/1.1", EXPECT, LENGTH)
must(group, "100 before the body", "9110 10.1.1", "100 or a final status, at once", [("send", WAITING), ("await", 1), ("send", BODY)],
     ["100 ok 200 closed"])
must(group, "in any case", "9110 10.1.1", "the value is case-insensitive",
     [("send", head(f"POST {PRUNE} HTTP/1.1", "expect: 100-CONTINUE", LENGTH)), ("await", 1), ("send", BODY)], ["100 ok 200 closed"])
must(group, "with chunks", "9110 10.1.1", "any body",
     [("send", head(f"POST {PRUNE} HTTP/1.1", EXPECT, CHUNKED)), ("await", 1), ("send", chunks(BODY))], ["100 ok 200 closed"])
must(group, "a client that does not wait", "9110 10.1.1", "100 may be left out then", WAITING + BODY, ["ok 200 closed", "100 ok 200 closed"])
must(group, "behind another request", "9110 10.1.1", "in its turn", [("send", get() + WAITING), ("await", 2), ("send", BODY)], ["200 100 ok 200 closed"])
must(group, "no 100 in HTTP/1.0", "9110 10.1.1", "1.0 does not know it", post(EXPECT, LENGTH, version="HTTP/1.0"), ONCE, marker=False)
must(group, "without a body", "9110 10.1.1", "nothing to wait for", get(EXPECT), OK + ["100 200 200 closed"])
must(group, "refused with the final status", "9110 10.1.1", "404 without asking for the body, or after it",
     [("send", head("POST /nowhere HTTP/1.1", EXPECT, LENGTH)), ("await", 1), ("send", BODY)],
     ["4xx closed", "4xx 200 closed", "100 4xx 200 closed", "100 4xx closed"])
must(group, "an unknown expectation", "9110 10.1.1", "417, or ignored", post("Expect: tea", LENGTH),
     ["417 closed", "417 200 closed"] + SERVED)

# Limits. ------------------------------------------------------------------------------------------------------------

group = "limits"
should(group, "a request line of 8000 bytes", "9112 3", "at least that many are to be supported",
       get(line=f"GET {LIVE}?" + "a" * (8000 - len(f"GET {LIVE}? HTTP/1.1")) + " HTTP/1.1"), OK)
must(group, "a target of 200 kB", "9112 3", "414 is required of who does not wish to parse it",
     get(line=f"GET {LIVE}?" + "a" * 200_000 + " HTTP/1.1"), ["414 closed"] + OK)
must(group, "a target without end", "9112 3", "414 is required of who does not wish to parse it", b"GET /" + b"a" * 200_000,
     ["414 closed", "waits"])
should(group, "a target without end is refused", "9112 3", "a limit protects the memory", b"GET /" + b"a" * 200_000, ["4xx closed"])
should(group, "a method without end is refused", "9112 3", "a limit protects the memory", b"G" * 200_000, ["4xx|501 closed"])
must(group, "a value of 4 kB", "9110 5.4", "ordinary", get("Cookie: " + "a" * 4096), OK)
should(group, "a value of 200 kB", "9110 5.4", "a limit protects the memory", get("X: " + "a" * 200_000), ["431|400|413 closed"])
should(group, "a head of many fields", "9110 5.4", "a limit protects the memory", get(*(f"X-{n}: a" for n in range(20_000))), ["431|400|413 closed"])
should(group, "a name without end", "9110 5.4", "a limit protects the memory",
       f"GET {LIVE} HTTP/1.1\r\nHost: a\r\n".encode() + b"X" * 200_000, ["431|400|413 closed"])
should(group, "a head too large is answered 431", "6585 5", "431 says what is wrong", get("X: " + "a" * 200_000), ["431 closed"] + OK)
must(group, "fifty fields", "9110 5.4", "ordinary", get(*(f"X-{n}: a" for n in range(50))), OK)
should(group, "a refusal amidst a large body arrives", "9112 9.6", "closing in steps, or the answer is lost",
       post("Content-Length: 1, 2", body=b"a" * 400_000), CUT)
must(group, "a megabyte of spaces behind a body of JSON", "9112 6.2", "read in full",
     head(f"POST {PRUNE} HTTP/1.1", f"Content-Length: {len(BODY) + 900_000}") + BODY + b" " * 900_000, ["ok|413 200 closed", "413 closed"])

# Delivery. ----------------------------------------------------------------------------------------------------------

group = "delivery"
must(group, "GET byte by byte", "9112 2", "bytes, not segments", [("bytewise", get())], OK)
must(group, "POST byte by byte", "9112 2", "bytes, not segments", [("bytewise", post(LENGTH))], SERVED)
must(group, "chunks byte by byte", "9112 2", "bytes, not segments", [("bytewise", chunked(sized(SIZE, b';a="b"')))], SERVED)
must(group, "a refusal byte by byte", "9112 2", "bytes, not segments", [("bytewise", post("Content-Length: x"))], CUT)
must(group, "head and body apart", "9112 2", "bytes, not segments", [("send", post(LENGTH, body=b"")), ("send", BODY)], SERVED)


def splits(data):
    """The message once for each place to split it, each time in two writes, on one connection."""
    for place in range(1, len(data)):
        yield from (("send", data[:place]), ("send", data[place:]), ("await", place))


for name, data, word in [("GET", get(), "200 "), ("POST", post(LENGTH), "ok "), ("chunks", chunked(chunks(BODY[:9], BODY[9:])), "ok ")]:
    must(group, f"{name} split at every place", "9112 2", "bytes, not segments", list(splits(data)), [word * (len(data) - 1) + "200 closed"])

# Answers. -----------------------------------------------------------------------------------------------------------

group = "answers"
must(group, "Date", "9110 6.6.1", "a server with a clock sends it, as IMF-fixdate", get(), OK, checks=("date",))
must(group, "Date in an error", "9110 6.6.1", "with 4xx too", get(line="GET /nowhere HTTP/1.1"), ["404 200 closed", "404 closed"], checks=("date",))
must(group, "one length", "9112 6.3", "Content-Length or chunks, not both", get(), OK, checks=("one-length",))
must(group, "well-formed fields", "9112 5", "names are tokens, values have no control bytes", get("X-Request-Id: a\tb"), OK, checks=("well-formed",))
must(group, "204 has no length", "9110 8.6", "neither length nor body", head(f"OPTIONS {PRUNE} HTTP/1.1"),
     ["200|204|405 200 closed", "405 closed"], checks=("one-length",))
must(group, "no field of the request comes back unasked", "9110 5.5", "splitting of answers",
     get(line="GET /livez%0d%0aX-Injected:%201 HTTP/1.1"), ["4xx 200 closed", "4xx closed", "200 200 closed"], checks=("not-injected",))
should(group, "a refusal announces the end", "9112 9.6", "so that the client need not guess", post("Content-Length: x"), CUT, checks=("close",))
should(group, "a refusal has a length", "9112 6.3", "or nobody knows that it is whole", post("Content-Length: x"), CUT, checks=("one-length", "has-length"))

# Not HTTP. ----------------------------------------------------------------------------------------------------------

group = "not-http"
must(group, "the preface of HTTP/2", "9113 3.4", "its SM must not be read as a request",
     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0", ["4xx|505 closed", "closed", "switched"])
should(group, "a TLS handshake", "9112 3", "refused at once",
       bytes.fromhex("160301003f0100003b0303") + b"r" * 32 + bytes.fromhex("000002002f01000010000a000400020017"),
       ["400 closed", "closed"], marker=False)
should(group, "noise", "9112 3", "refused at once", bytes(range(128, 256)) * 4 + b"\r\n\r\n", ["400 closed", "closed"])
should(group, "a SOCKS greeting", "9112 3", "refused at once", b"\x05\x01\x00\r\n\r\n", ["400 closed", "closed"])
should(group, "a line of SMTP", "9112 3", "refused at once", b"EHLO a.example\r\n", ["400|501 closed", "closed"])
should(group, "a kilobyte of NUL", "9112 3", "refused at once", b"\0" * 1024, ["400 closed", "closed"])
should(group, "the PROXY protocol", "9112 3", "refused where nobody asked for it", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 80\r\n" + get(), ["400 closed", "closed"])

assert len({case.id for case in CASES}) == len(CASES), "two cases have the same id"
