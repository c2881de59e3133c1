"""What Postfix 3.10.13 of Debian 13 answered: recorded from a real one, which the SMTP listener must be like.

Its main.cf was Debian's, with these: myhostname = vm, smtpd_sasl_auth_enable = yes (Cyrus SASL with PLAIN, LOGIN and
CRAM-MD5 from an sasldb), smtpd_forbid_unauth_pipelining = no, every client may relay (smtpd_relay_restrictions), and
header_checks that reject each message. Each turn waited for the answer to the one before.
"""

from __future__ import annotations

# ruff: noqa: E501

EHLO = (
    b"250-vm\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-VRFY\r\n250-ETRN\r\n250-AUTH PLAIN LOGIN CRAM-MD5\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n"
)

CONVERSATIONS: list[tuple[str, list[tuple[bytes, bytes]], bool]] = [
    (
        "ehlo",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"EHLO c.example\r\n", EHLO),
            (b"HELO c\r\n", b"250 vm\r\n"),
            (b"HELO\r\n", b"501 Syntax: HELO hostname\r\n"),
            (b"EHLO\r\n", b"501 Syntax: EHLO hostname\r\n"),
            (b"HELO a b c\r\n", b"250 vm\r\n"),
            (b"ehlo [1.2.3.4]\r\n", EHLO),
            (b"HELO \xff\x00x\r\n", b"500 5.5.2 Error: bad UTF-8 syntax\r\n"),
            (b"quit\r\n", b"221 2.0.0 Bye\r\n"),
        ],
        True,
    ),
    (
        "mail syntax",
        [
            (b"MAIL\r\n", b"501 5.5.4 Syntax: MAIL FROM:<address>\r\n"),
            (b"MAIL FROM\r\n", b"501 5.5.4 Syntax: MAIL FROM:<address>\r\n"),
            (b"MAIL FROM:\r\n", b"501 5.5.4 Syntax: MAIL FROM:<address>\r\n"),
            (b"MAIL FROM: <>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"MAIL FROM:<a@b.example>\r\n", b"503 5.5.1 Error: nested MAIL command\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:a@b.example\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b\r\n", b"501 5.1.7 Bad sender address syntax\r\n"),
            (b"MAIL FROM:<a b@c>\r\n", b"501 5.1.7 Bad sender address syntax\r\n"),
            (b"MAIL  FROM:<a@b> SIZE=12\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b> SIZE=99999999999\r\n", b"552 5.3.4 Message size exceeds fixed limit\r\n"),
            (b"MAIL FROM:<a@b> SIZE=x\r\n", b"501 5.5.4 Bad message size syntax\r\n"),
        ],
        False,
    ),
    (
        "mail syntax2",
        [
            (b"MAIL FROM:<a@b> FOO=x\r\n", b"555 5.5.4 Unsupported option: FOO=x\r\n"),
            (b"MAIL FROM:<a@b> BODY=8BITMIME\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b> BODY=x\r\n", b"555 5.5.4 Unsupported option: BODY=x\r\n"),
            (b"MAIL FROM:<a@b> SMTPUTF8\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"EHLO x\r\n", EHLO),
            (b"MAIL FROM:<a@b> SMTPUTF8 RET=FULL ENVID=12\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b> RET=x\r\n", b"501 5.5.4 Bad RET parameter syntax\r\n"),
            (b"MAIL FROM:<a@b> AUTH=<>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL TO:<a@b>\r\n", b"501 5.5.4 Syntax: MAIL FROM:<address>\r\n"),
            (b"MAIL FROM <a@b>\r\n", b"501 5.5.4 Syntax: MAIL FROM:<address>\r\n"),
        ],
        False,
    ),
    (
        "mail syntax3",
        [
            (b"EHLO x\r\n", EHLO),
            (b"MAIL FROM:<\xc3\xb6@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<\xff@b>\r\n", b"500 5.5.2 Error: bad UTF-8 syntax\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b\x00c>\r\n", b"501 5.1.7 Bad sender address syntax\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<@h:a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b'MAIL FROM:<"a b"@c>\r\n', b"250 2.1.0 Ok\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"MAIL FROM:<a@b>\r\n", b"503 5.5.1 Error: nested MAIL command\r\n"),
            (b"RCPT TO:<\xff@b>\r\n", b"500 5.5.2 Error: bad UTF-8 syntax\r\n"),
            (b"RCPT TO:<\xc3\xb6@b>\r\n", b"250 2.1.5 Ok\r\n"),
        ],
        False,
    ),
    (
        "rcpt",
        [
            (b"RCPT TO:<a@b>\r\n", b"503 5.5.1 Error: need MAIL command\r\n"),
            (b"MAIL FROM:<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"MAIL FROM:<a@b>\r\n", b"503 5.5.1 Error: nested MAIL command\r\n"),
            (b"RCPT\r\n", b"501 5.5.4 Syntax: RCPT TO:<address>\r\n"),
            (b"RCPT TO:\r\n", b"501 5.5.4 Syntax: RCPT TO:<address>\r\n"),
            (b"RCPT TO:<>\r\n", b"501 5.1.3 Bad recipient address syntax\r\n"),
            (b"RCPT TO:<a@b>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"RCPT TO:a@b\r\n", b"250 2.1.5 Ok\r\n"),
            (b"RCPT TO:<postmaster>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"RCPT TO:<a b>\r\n", b"501 5.1.3 Bad recipient address syntax\r\n"),
            (b"RCPT TO:<a@b> NOTIFY=NEVER ORCPT=rfc822;a@b\r\n", b"250 2.1.5 Ok\r\n"),
            (b"RCPT TO:<a@b> FOO\r\n", b"555 5.5.4 Unsupported option: FOO\r\n"),
            (b"RCPT TO:<a@b> NOTIFY=X\r\n", b"501 5.5.4 Error: Bad NOTIFY parameter syntax\r\n"),
        ],
        False,
    ),
    (
        "rcpt2",
        [
            (b"MAIL FROM:<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RCPT TO:<a@b\r\n", b"501 5.1.3 Bad recipient address syntax\r\n"),
            (b"RCPT TO:<a@b>x\r\n", b"501 5.1.3 Bad recipient address syntax\r\n"),
            (b"RCPT FROM:<a@b>\r\n", b"501 5.5.4 Syntax: RCPT TO:<address>\r\n"),
            (b"RCPT TO:<a@@b>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"RCPT TO:<@b>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"RCPT TO:<a%b@c>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"RCPT TO:<a!b>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"RCPT TO: a@b x\r\n", b"555 5.5.4 Unsupported option: x\r\n"),
        ],
        False,
    ),
    (
        "data",
        [
            (b"DATA\r\n", b"503 5.5.1 Error: need RCPT command\r\n"),
            (b"MAIL FROM:<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"DATA\r\n", b"554 5.5.1 Error: no valid recipients\r\n"),
            (b"RCPT TO:<c@d>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"DATA x\r\n", b"501 5.5.4 Syntax: DATA\r\n"),
            (b"DATA\r\n", b"354 End data with <CR><LF>.<CR><LF>\r\n"),
            (b"Subject: x\r\n\r\nhello\r\n..dot\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
            (b"DATA\r\n", b"503 5.5.1 Error: need RCPT command\r\n"),
            (b"MAIL FROM:<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RCPT TO:<c@d>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"DATA\r\n", b"354 End data with <CR><LF>.<CR><LF>\r\n"),
            (b".\r\n", b"550 5.7.1 message content rejected\r\n"),
            (b"NOOP\r\n", b"250 2.0.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "cmds",
        [
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"RSET x\r\n", b"501 5.5.4 Syntax: RSET\r\n"),
            (b"NOOP\r\n", b"250 2.0.0 Ok\r\n"),
            (b"NOOP x y\r\n", b"250 2.0.0 Ok\r\n"),
            (
                b"HELP\r\n",
                b"214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD\r\n",
            ),
            (
                b"HELP x\r\n",
                b"214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD\r\n",
            ),
            (b"VRFY\r\n", b"501 5.5.4 Syntax: VRFY address [SMTPUTF8]\r\n"),
            (b"VRFY root\r\n", b"252 2.0.0 root\r\n"),
            (b"VRFY nosuch@example.org\r\n", b"252 2.0.0 nosuch@example.org\r\n"),
            (b"EXPN x\r\n", b"500 5.5.2 Error: command not recognized\r\n"),
            (b"EXPN\r\n", b"500 5.5.2 Error: command not recognized\r\n"),
            (b"ETRN\r\n", b"500 Syntax: ETRN domain\r\n"),
            (b"ETRN example.org\r\n", b"459 <example.org>: service unavailable\r\n"),
            (b"ETRN x y\r\n", b"500 Syntax: ETRN domain\r\n"),
            (b"STARTTLS\r\n", b"502 5.5.1 Error: command not implemented\r\n"),
            (b"TURN\r\n", b"500 5.5.2 Error: command not recognized\r\n"),
            (b"XCLIENT\r\n", b"501 5.5.4 Syntax: XCLIENT attribute=value...\r\n"),
            (b"SAML FROM:<a@b>\r\n", b"500 5.5.2 Error: command not recognized\r\n"),
            (b"FOO\r\n", b"500 5.5.2 Error: command not recognized\r\n"),
            (b"QUIT x\r\n", b"221 2.0.0 Bye\r\n"),
        ],
        True,
    ),
    (
        "unknown",
        [
            (b"\r\n", b"500 5.5.2 Error: bad syntax\r\n"),
            (b" \r\n", b"500 5.5.2 Error: bad syntax\r\n"),
            (b"FOO BAR\r\n", b"500 5.5.2 Error: command not recognized\r\n"),
            (b"helo x\r\n", b"250 vm\r\n"),
            (b" EHLO x\r\n", EHLO),
            (b"\tNOOP\r\n", b"250 2.0.0 Ok\r\n"),
            (b"NOOP\x00\r\n", b"250 2.0.0 Ok\r\n"),
            (b"\xff\xfe\r\n", b"500 5.5.2 Error: bad UTF-8 syntax\r\n"),
            (b"vrfy <a b>\r\n", b"501 5.1.3 Bad recipient address syntax\r\n"),
            (b"VRFY a b\r\n", b"501 5.1.3 Bad recipient address syntax\r\n"),
            (b'vrfy "x"\r\n', b'252 2.0.0 "x"\r\n'),
            (b"quit now\r\n", b"221 2.0.0 Bye\r\n"),
        ],
        True,
    ),
    (
        "vrfy",
        [
            (b"VRFY \xff\r\n", b"500 5.5.2 Error: bad UTF-8 syntax\r\n"),
            (b"VRFY \xc3\xb6@x\r\n", b"252 2.0.0 \xc3\xb6@x\r\n"),
            (b"VRFY <>\r\n", b"501 5.1.3 Bad recipient address syntax\r\n"),
            (b"VRFY @\r\n", b"501 5.1.3 Bad recipient address syntax\r\n"),
            (b"VRFY <a@b>\r\n", b"252 2.0.0 <a@b>\r\n"),
            (b"VRFY a@@b\r\n", b"252 2.0.0 a@@b\r\n"),
            (b"XFORWARD NAME=x\r\n", b"550 5.7.0 Error: insufficient authorization\r\n"),
            (b"ETRN #x\r\n", b"459 <x>: service unavailable\r\n"),
            (b"ETRN @x\r\n", b"459 <x>: service unavailable\r\n"),
            (b"ETRN a..b\r\n", b"501 Error: invalid parameter syntax\r\n"),
            (b"ETRN \xff\r\n", b"500 5.5.2 Error: bad UTF-8 syntax\r\n"),
        ],
        False,
    ),
    (
        "http",
        [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "post",
        [
            (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "connect",
        [
            (b"CONNECT a:25 HTTP/1.0\r\n\r\n", b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "head",
        [
            (b"HEAD / HTTP/1.0\r\n\r\n", b"500 5.5.2 Error: command not recognized\r\n500 5.5.2 Error: bad syntax\r\n"),
        ],
        False,
    ),
    (
        "tls",
        [
            (
                b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
                b"",
            ),
            (b"\r\n", b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "nul",
        [
            (b"\x00\x00\x00\r\n", b"500 5.5.2 Error: bad syntax\r\n"),
        ],
        False,
    ),
    (
        "header",
        [
            (b"Subject: x\r\n", b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "user",
        [
            (b"USER: x\r\n", b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "barelf",
        [
            (b"EHLO x\n", EHLO),
            (b"NOOP\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b>\nRCPT TO:<c@d>\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"DATA\n", b"354 End data with <CR><LF>.<CR><LF>\r\n"),
            (b"Subject: x\n\nhi\n.\n", b""),
            (b"more\r\n.\n", b""),
            (b"more\n.\r\n", b""),
            (b"end\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
    (
        "barecr",
        [
            (b"NOOP\rNOOP\r\n", b"250 2.0.0 Ok\r\n"),
            (b"EHLO x\r\r\n", EHLO),
            (b"NOOP\r", b""),
            (b"\n", b"250 2.0.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "pipeline",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (
                b"hi\r\n.\r\nNOOP\r\nQUIT\r\n",
                b"550 5.7.1 message content rejected\r\n250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n",
            ),
        ],
        True,
    ),
    (
        "pipeline unauth (no EHLO)",
        [
            (
                b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 vm\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\r\n.\r\nQUIT\r\n", b"550 5.7.1 message content rejected\r\n221 2.0.0 Bye\r\n"),
        ],
        True,
    ),
    (
        "pipeline past ehlo",
        [
            (
                b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                EHLO + b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\r\n.\r\nQUIT\r\n", b"550 5.7.1 message content rejected\r\n221 2.0.0 Bye\r\n"),
        ],
        True,
    ),
    (
        "pipeline past data",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n550 5.7.1 message content rejected\r\n221 2.0.0 Bye\r\n",
            ),
        ],
        True,
    ),
    (
        "pipeline past noop",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"NOOP\r\nNOOP\r\nVRFY x\r\nNOOP\r\nFOO\r\nMAIL\r\nQUIT\r\n",
                b"250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n252 2.0.0 x\r\n250 2.0.0 Ok\r\n500 5.5.2 Error: command not recognized\r\n501 5.5.4 Syntax: MAIL FROM:<address>\r\n221 2.0.0 Bye\r\n",
            ),
        ],
        True,
    ),
    (
        "all at once, early",
        [
            (
                b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n",
                EHLO
                + b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n550 5.7.1 message content rejected\r\n221 2.0.0 Bye\r\n",
            ),
        ],
        True,
    ),
    (
        "bdat",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"BDAT\r\n", b"521 5.5.4 Syntax: BDAT count [LAST]\r\n"),
        ],
        True,
    ),
    (
        "bdat2",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\n",
                b"555 5.5.4 Unsupported option: BODY=BINARYMIME\r\n503 5.5.1 Error: need MAIL command\r\n",
            ),
            (b"BDAT 5\r\nhello", b"503 5.5.1 Error: need RCPT command\r\n"),
            (b"NOOP\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<x@y>\r\n", b"503 5.5.1 Error: MAIL after BDAT\r\n"),
            (b"RCPT TO:<x@y>\r\n", b"503 5.5.1 Error: need MAIL command\r\n"),
            (b"BDAT 0\r\n", b"551 5.7.1 Null BDAT request\r\n"),
        ],
        False,
    ),
    (
        "bdat4",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT 5 LAST\r\nab\r\nc", b"550 5.7.1 message content rejected\r\n"),
            (b"BDAT 3 LAST\r\nabc", b"503 5.5.1 Error: need RCPT command\r\n"),
            (b"BDAT -1\r\n", b"521 5.5.4 Syntax: BDAT count [LAST]\r\n"),
        ],
        True,
    ),
    (
        "auth",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"AUTH\r\n", b"501 5.5.4 Syntax: AUTH mechanism\r\n"),
            (b"AUTH PLAIN\r\n", b"334 \r\n"),
            (b"AHVzZXIAcHc=\r\n", b"535 5.7.8 Error: authentication failed: authentication failure\r\n"),
            (b"AUTH PLAIN AHVzZXIAcHc=\r\n", b"535 5.7.8 Error: authentication failed: authentication failure\r\n"),
            (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
            (b"dXNlcg==\r\n", b"334 UGFzc3dvcmQ6\r\n"),
            (b"cHc=\r\n", b"535 5.7.8 Error: authentication failed: authentication failure\r\n"),
            (b"AUTH LOGIN dXNlcg==\r\n", b"334 UGFzc3dvcmQ6\r\n"),
            (b"cHc=\r\n", b"535 5.7.8 Error: authentication failed: authentication failure\r\n"),
        ],
        False,
    ),
    (
        "auth2",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"AUTH FOO\r\n", b"535 5.7.8 Error: authentication failed: no mechanism available\r\n"),
            (
                b"AUTH PLAIN =\r\n",
                b"535 5.7.8 Error: authentication failed: another step is needed in authentication\r\n",
            ),
            (
                b"AUTH PLAIN !!!\r\n",
                b"535 5.7.8 Error: authentication failed: another step is needed in authentication\r\n",
            ),
            (b"AUTH PLAIN\r\n", b"334 \r\n"),
            (b"*\r\n", b"501 5.7.0 Authentication aborted\r\n"),
            (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
            (b"*\r\n", b"501 5.7.0 Authentication aborted\r\n"),
            (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
            (b"!!!\r\n", b"535 5.7.8 Error: authentication failed: another step is needed in authentication\r\n"),
            (b"AUTH PLAIN dXNlcg==\r\n", b"535 5.7.8 Error: authentication failed: bad protocol / cancel\r\n"),
            (b"AUTH PLAIN x y\r\n", b"501 5.5.4 Syntax: AUTH mechanism\r\n"),
        ],
        False,
    ),
    (
        "auth3",
        [
            (b"HELO x\r\n", b"250 vm\r\n"),
            (b"AUTH PLAIN AHVzZXIAcHc=\r\n", b"535 5.7.8 Error: authentication failed: authentication failure\r\n"),
            (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
            (b"\r\n", b"334 UGFzc3dvcmQ6\r\n"),
            (b"\r\n", b"454 4.7.0 Temporary authentication failure: generic failure\r\n"),
            (b"auth plain YQBiAGM=\r\n", b"535 5.7.8 Error: authentication failed: authentication failure\r\n"),
            (
                b"AUTH CRAM-MD5 xx\r\n",
                b"535 5.7.8 Error: authentication failed: another step is needed in authentication\r\n",
            ),
        ],
        False,
    ),
    (
        "auth4",
        [
            (b"AUTH PLAIN AHVzZXIAcHc=\r\n", b"535 5.7.8 Error: authentication failed: authentication failure\r\n"),
        ],
        False,
    ),
    (
        "authempty",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"AUTH PLAIN\r\n", b"334 \r\n"),
            (b"\r\n", b"535 5.7.8 Error: authentication failed: bad protocol / cancel\r\n"),
            (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
            (b"\r\n", b"334 UGFzc3dvcmQ6\r\n"),
            (b"eA==\r\n", b"454 4.7.0 Temporary authentication failure: generic failure\r\n"),
            (
                b"AUTH LOGIN =\r\n",
                b"535 5.7.8 Error: authentication failed: another step is needed in authentication\r\n",
            ),
            (b"eA==\r\n", b"500 5.5.2 Error: command not recognized\r\n"),
            (b"AUTH PLAIN AAA=\r\n", b"454 4.7.0 Temporary authentication failure: generic failure\r\n"),
            (b"AUTH PLAIN AHVzZXIA\r\n", b"535 5.7.8 Error: authentication failed: authentication failure\r\n"),
            (b"AUTH PLAIN AABwdw==\r\n", b"454 4.7.0 Temporary authentication failure: generic failure\r\n"),
        ],
        False,
    ),
    (
        "authpipelined",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"AUTH LOGIN\r\ndXNlcg==\r\ncHc=\r\nNOOP\r\n",
                b"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n535 5.7.8 Error: authentication failed: authentication failure\r\n250 2.0.0 Ok\r\n",
            ),
        ],
        False,
    ),
    (
        "lf.lf",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\n.\nNOOP\n", b""),
            (b"\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
    (
        "lf.crlf",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\n.\r\nNOOP\r\n", b""),
            (b"\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
    (
        "crlf.lf",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\r\n.\nNOOP\r\n", b""),
            (b"\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
    (
        "crlf.cr",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\r\n.\rNOOP\r\n", b""),
            (b"\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
    (
        "cr.cr",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\r.\rNOOP\r\n", b""),
            (b"\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
    (
        "crlf.crlf",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\r\n.\r\nNOOP\r\n", b"550 5.7.1 message content rejected\r\n250 2.0.0 Ok\r\n"),
            (b"\r\n.\r\n", b"500 5.5.2 Error: bad syntax\r\n221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "cr.crlf",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\r.\r\nNOOP\r\n", b""),
            (b"\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
    (
        "crlf.crcrlf",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\r\n.\r\r\nNOOP\r\n", b""),
            (b"\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
    (
        "firstdotlf",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b".\nNOOP\r\n", b""),
            (b"\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
    (
        "firstdot",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b".\r\nNOOP\r\n", b"550 5.7.1 message content rejected\r\n250 2.0.0 Ok\r\n"),
            (b"\r\n.\r\n", b"500 5.5.2 Error: bad syntax\r\n221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "datalf",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b"hi\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
            (b"NOOP\n", b"250 2.0.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "datalf2",
        [
            (b"EHLO c.example\r\n", EHLO),
            (
                b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\n",
                b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n",
            ),
            (b".\r\n", b"550 5.7.1 message content rejected\r\n"),
            (b"NOOP\n", b"250 2.0.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "bdat b'BDAT'",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT\r\n", b"521 5.5.4 Syntax: BDAT count [LAST]\r\n"),
        ],
        True,
    ),
    (
        "bdat b'BDAT x'",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT x\r\n", b"521 5.5.4 Syntax: BDAT count [LAST]\r\n"),
        ],
        True,
    ),
    (
        "bdat b'BDAT 5 LAST x'",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT 5 LAST x\r\n", b"521 5.5.4 Syntax: BDAT count [LAST]\r\n"),
        ],
        True,
    ),
    (
        "bdat b'BDAT 5x\\r\\nhello'",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT 5x\r\nhello\r\n", b"521 5.5.4 Syntax: BDAT count [LAST]\r\n"),
        ],
        True,
    ),
    (
        "bdat a",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"BDAT 5\r\nhello", b"503 5.5.1 Error: need RCPT command\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT 5\r\nhello", b"250 2.0.0 Ok: 5 bytes\r\n"),
            (b"DATA\r\n", b"503 5.5.1 Error: DATA after BDAT\r\n"),
            (b"NOOP\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<x@y>\r\n", b"503 5.5.1 Error: nested MAIL command\r\n"),
            (b"RCPT TO:<x@y>\r\n", b"503 5.5.1 Error: RCPT after BDAT\r\n"),
            (b"VRFY x\r\n", b"252 2.0.0 x\r\n"),
            (b"BDAT 4 LAST\r\nx\r\nz", b"550 5.7.1 message content rejected\r\n"),
            (b"NOOP\r\n", b"250 2.0.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "bdat b",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT 5\r\nhello", b"250 2.0.0 Ok: 5 bytes\r\n"),
            (b"BDAT 0 LAST\r\n", b"550 5.7.1 message content rejected\r\n"),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT 0 LAST\r\n", b"550 5.7.1 message content rejected\r\n"),
            (b"NOOP\r\n", b"250 2.0.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "bdat c",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT 5\r\nhello", b"250 2.0.0 Ok: 5 bytes\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT 0\r\n", b"551 5.7.1 Null BDAT request\r\n"),
            (b"NOOP\r\n", b"250 2.0.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "bdat helo",
        [
            (b"HELO x\r\n", b"250 vm\r\n"),
            (b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"),
            (b"BDAT 5 LAST\r\nhello", b"550 5.7.1 message content rejected\r\n"),
            (b"MAIL FROM:<a@b> SMTPUTF8\r\n", b"250 2.1.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "bdat norcpt",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"BDAT 5 LAST\r\nhello", b"554 5.5.1 Error: no valid recipients\r\n"),
            (b"BDAT 5 LAST\r\nhello", b"503 5.5.1 Error: need RCPT command\r\n"),
            (b"DATA\r\n", b"503 5.5.1 Error: need RCPT command\r\n"),
            (b"RCPT TO:<a@b>\r\n", b"503 5.5.1 Error: need MAIL command\r\n"),
            (b"RSET\r\n", b"250 2.0.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "xclient",
        [
            (b"XCLIENT\r\n", b"501 5.5.4 Syntax: XCLIENT attribute=value...\r\n"),
            (b"XCLIENT a=b\r\n", b"550 5.7.0 Error: insufficient authorization\r\n"),
            (b"XFORWARD\r\n", b"501 5.5.4 Syntax: XFORWARD attribute=value...\r\n"),
            (b"XFORWARD a=b\r\n", b"550 5.7.0 Error: insufficient authorization\r\n"),
            (b"STARTTLS x\r\n", b"501 5.5.4 Syntax: STARTTLS\r\n"),
            (b"QUIT\r\n", b"221 2.0.0 Bye\r\n"),
        ],
        True,
    ),
    (
        "header again",
        [
            (b"Foo : x\r\nNOOP\r\n", b"500 5.5.2 Error: command not recognized\r\n250 2.0.0 Ok\r\n"),
            (b"Foo bar: x\r\n", b"500 5.5.2 Error: command not recognized\r\n"),
            (b"foo: x\r\n", b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "lower",
        [
            (b"foo x\r\n", b"500 5.5.2 Error: command not recognized\r\n"),
        ],
        False,
    ),
    (
        "digit",
        [
            (b"123\r\n", b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "lowerhelo",
        [
            (b"abc:d\r\n", b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n"),
        ],
        True,
    ),
    (
        "nonutf8 noehlo",
        [
            (b"HELO x\r\n", b"250 vm\r\n"),
            (b"MAIL FROM:<\xff@b>\r\n", b"500 5.5.2 Error: bad UTF-8 syntax\r\n"),
            (b"FOO \xff\r\n", b"500 5.5.2 Error: bad UTF-8 syntax\r\n"),
            (b"NOOP \xff\r\n", b"500 5.5.2 Error: bad UTF-8 syntax\r\n"),
            (b"QUIT \xff\r\n", b"500 5.5.2 Error: bad UTF-8 syntax\r\n"),
        ],
        False,
    ),
    (
        "paths",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"MAIL FROM:<<a@b>>\r\nRSET\r\n", b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b>>\r\nRSET\r\n", b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:a@b c@d\r\nRSET\r\n", b"555 5.5.4 Unsupported option: c@d\r\n250 2.0.0 Ok\r\n"),
            (b'MAIL FROM:"a"@b\r\nRSET\r\n', b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b>SIZE=1\r\nRSET\r\n", b"501 5.1.7 Bad sender address syntax\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:< a@b >\r\nRSET\r\n", b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b,c@d>\r\nRSET\r\n", b"501 5.1.7 Bad sender address syntax\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@[1.2.3.4]>\r\nRSET\r\n", b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a\\ b@c>\r\nRSET\r\n", b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b c>\r\nRSET\r\n", b"501 5.1.7 Bad sender address syntax\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:Foo <a@b>\r\nRSET\r\n", b"555 5.5.4 Unsupported option: <a@b>\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<(c)a@b>\r\nRSET\r\n", b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a;b@c>\r\nRSET\r\n", b"501 5.1.7 Bad sender address syntax\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a:b@c>\r\nRSET\r\n", b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<@>\r\nRSET\r\n", b"501 5.1.7 Bad sender address syntax\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@>\r\nRSET\r\n", b"501 5.1.7 Bad sender address syntax\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<.a@b>\r\nRSET\r\n", b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:a\r\nRSET\r\n", b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:@\r\nRSET\r\n", b"501 5.1.7 Bad sender address syntax\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b> BODY=7BIT BODY=8BITMIME\r\nRSET\r\n", b"250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n"),
            (b"MAIL FROM:<a@b> SIZE=\r\nRSET\r\n", b"501 5.5.4 Bad message size syntax\r\n250 2.0.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "spaces",
        [
            (b"EHLO c.example\r\n", EHLO),
            (b"MAIL FROM : <a@b>\r\n", b"501 5.5.4 Syntax: MAIL FROM:<address>\r\n"),
            (b"MAIL FROM:\t<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RCPT  TO: <a@b> \r\n", b"250 2.1.5 Ok\r\n"),
            (b"RCPT TO : <a@b>\r\n", b"501 5.5.4 Syntax: RCPT TO:<address>\r\n"),
            (b"rcpt to:<a@b>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"DATA \r\n", b"354 End data with <CR><LF>.<CR><LF>\r\n"),
            (b".\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
    (
        "AUTH LOGIN, 2 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
            (b"=\r\n", b"535 5.7.8 Error: authentication failed: another step is needed in authentication\r\n"),
        ],
        False,
    ),
    (
        "BDAT 5 LAST, 2 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"BDAT 5 LAST\r\n", b""),
            (b"hello\r\n", b"503 5.5.1 Error: need RCPT command\r\n500 5.5.2 Error: bad syntax\r\n"),
        ],
        False,
    ),
    (
        "BDAT 0, 1 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"BDAT 0\r\n", b"551 5.7.1 Null BDAT request\r\n"),
        ],
        False,
    ),
    (
        "BDAT 0 LAST, 1 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"BDAT 0 LAST\r\n", b"503 5.5.1 Error: need RCPT command\r\n"),
        ],
        False,
    ),
    (
        "MAIL FROM:<a@b>, 4 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"BDAT 0\r\n", b"551 5.7.1 Null BDAT request\r\n"),
            (b"RCPT TO:<c@d>\r\n", b"503 5.5.1 Error: RCPT after BDAT\r\n"),
            (b"NOOP\r\n", b"250 2.0.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "MAIL FROM:<a@b>, 8 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"BDAT 2\r\n", b""),
            (
                b"RCPT TO:<c@d>\r\n",
                b"554 5.5.1 Error: no valid recipients\r\n500 5.5.2 Error: command not recognized\r\n",
            ),
            (b"BDAT 2\r\n", b""),
            (
                b"DATA\r\n",
                b"551 5.0.0 Discarded 2 bytes after earlier error\r\n500 5.5.2 Error: command not recognized\r\n",
            ),
            (b"MAIL FROM:<x@y>\r\n", b"503 5.5.1 Error: nested MAIL command\r\n"),
            (b"EHLO x\r\n", EHLO),
            (b"MAIL FROM:<x@y>\r\n", b"250 2.1.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "MAIL FROM:<a@b>, 5 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"RCPT TO:<c@d>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"BDAT 2\r\n", b""),
            (b"EHLO x\r\n", b"250 2.0.0 Ok: 2 bytes\r\n500 5.5.2 Error: command not recognized\r\n"),
            (b"MAIL FROM:<x@y>\r\n", b"503 5.5.1 Error: nested MAIL command\r\n"),
        ],
        False,
    ),
    (
        "HELP, 3 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (
                b"HELP\r\n",
                b"214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD\r\n",
            ),
            (
                b"HELP\r\n",
                b"214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD\r\n",
            ),
            (
                b"HELP\r\n",
                b"214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD\r\n",
            ),
        ],
        False,
    ),
    (
        "AUTH\tPLAIN, 1 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"AUTH\tPLAIN\r\n", b"334 \r\n"),
        ],
        False,
    ),
    (
        "MAIL FROM:<>, 1 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"MAIL FROM:<>\r\n", b"250 2.1.0 Ok\r\n"),
        ],
        False,
    ),
    (
        "MAIL FROM:<a@b>, 3 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"EHLO x\r\n", EHLO),
            (b"RCPT TO:<a@b>\r\n", b"503 5.5.1 Error: need MAIL command\r\n"),
        ],
        False,
    ),
    (
        "MAIL FROM:<a@b>, 7 turns",
        [
            (b"EHLO x\r\n", EHLO),
            (b"MAIL FROM:<a@b>\r\n", b"250 2.1.0 Ok\r\n"),
            (b"STARTTLS\r\n", b"502 5.5.1 Error: command not implemented\r\n"),
            (b"RCPT TO:<c@d>\r\n", b"250 2.1.5 Ok\r\n"),
            (b"VRFY x\r\n", b"252 2.0.0 x\r\n"),
            (
                b"HELP\r\n",
                b"214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD\r\n",
            ),
            (b"DATA\r\n", b"354 End data with <CR><LF>.<CR><LF>\r\n"),
            (b"x\r\n.\r\n", b"550 5.7.1 message content rejected\r\n"),
        ],
        False,
    ),
]
"""Its name, what was said and answered, and whether Postfix closed the connection."""

LINES: list[tuple[bytes, bytes]] = [
    (b"MAIL FROM:<a@b> SIZE=10240000", b"250 2.1.0 Ok\r\n"),
    (b"MAIL FROM:<a@b> SIZE=10240001", b"552 5.3.4 Message size exceeds fixed limit\r\n"),
    (b"MAIL FROM:<a@b> SIZE=-1", b"501 5.5.4 Bad message size syntax\r\n"),
    (b"MAIL FROM:<a@b> RET=HDRS", b"250 2.1.0 Ok\r\n"),
    (b"MAIL FROM:<a@b> ENVID=a ENVID=b", b"501 5.5.4 Bad ENVID parameter syntax\r\n"),
    (b"MAIL FROM:<a@b> AUTH=x", b"250 2.1.0 Ok\r\n"),
    (b"MAIL FROM:<a@b> SMTPUTF8=x", b"555 5.5.4 Unsupported option: SMTPUTF8=x\r\n"),
    (b"MAIL FROM:<a@b> XVERP", b"555 5.5.4 Unsupported option: XVERP\r\n"),
    (b"MAIL FROM:<a@b> REQUIRETLS", b"555 5.5.4 Unsupported option: REQUIRETLS\r\n"),
    (b'MAIL FROM:"x" <a@b>', b"555 5.5.4 Unsupported option: <a@b>\r\n"),
    (b'MAIL FROM:<"a@b>', b"501 5.1.7 Bad sender address syntax\r\n"),
    (b'MAIL FROM:<a"@b>', b"501 5.1.7 Bad sender address syntax\r\n"),
    (
        b"MAIL FROM:<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b>",
        b"250 2.1.0 Ok\r\n",
    ),
    (b"MAIL FROM:<a@b> BODY=8bitmime size=3", b"250 2.1.0 Ok\r\n"),
    (b"MAIL FROM:<a@b> ENVID=", b"501 5.5.4 Bad ENVID parameter syntax\r\n"),
    (b"MAIL FROM:<a@b> AUTH=", b"250 2.1.0 Ok\r\n"),
    (b"MAIL FROM:<a@b> SIZE", b"555 5.5.4 Unsupported option: SIZE\r\n"),
    (b"MAIL FROM:<a@b> ENVID=a RET=FULL RET=FULL", b"501 5.5.4 Bad RET parameter syntax\r\n"),
    (b"MAIL FROM:<a@b> =", b"555 5.5.4 Unsupported option: =\r\n"),
    (b"RCPT TO:<a@b> NOTIFY=", b"501 5.5.4 Error: Bad NOTIFY parameter syntax\r\n"),
    (b"RCPT TO:<a@b> ORCPT=a", b"501 5.5.4 Error: Bad ORCPT parameter syntax\r\n"),
    (b"RCPT TO:<a@b> ORCPT=", b"501 5.5.4 Error: Bad ORCPT parameter syntax\r\n"),
    (b"RCPT TO:<a@b> NOTIFY=NEVER,DELAY", b"501 5.5.4 Error: Bad NOTIFY parameter syntax\r\n"),
    (b"RCPT TO:<a@b> SIZE=1", b"555 5.5.4 Unsupported option: SIZE=1\r\n"),
    (b'RCPT TO:"a b"@c', b"250 2.1.5 Ok\r\n"),
    (b"RCPT TO:<a@b> NOTIFY", b"555 5.5.4 Unsupported option: NOTIFY\r\n"),
    (
        b"AUTH CRAM-MD5 dXNlciAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMA==",
        b"535 5.7.8 Error: authentication failed: bad protocol / cancel\r\n",
    ),
    (b"AUTH PLAIN *", b"535 5.7.8 Error: authentication failed: another step is needed in authentication\r\n"),
    (b"AUTH LOGIN *", b"535 5.7.8 Error: authentication failed: another step is needed in authentication\r\n"),
    (b"AUTH PLAIN AGEAYgBj", b"535 5.7.8 Error: authentication failed: bad protocol / cancel\r\n"),
    (b"AUTH PLAIN eA==", b"535 5.7.8 Error: authentication failed: bad protocol / cancel\r\n"),
]
"""Commands behind EHLO (MAIL), and behind that and MAIL FROM:<> (RCPT)."""
