//! Status lines, header fields, statuses and other protocols.

use super::{
    CONTENT_TYPE, ENCODING, GOOD, HEADERS, NOT_HTTP, PASSED, Play, REDIRECT, Row, STATUS, UNSTABLE,
    good_head, play::Step, row,
};

/// The whole answer with this status line.
macro_rules! line {
    ($line:literal) => {
        Play::Says(
            concat!(
                $line,
                "\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}"
            )
            .as_bytes(),
        )
    };
}

/// A good answer with these lines in its head.
macro_rules! fields {
    ($fields:literal) => {
        Play::Says(
            concat!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
                $fields,
                "Content-Length: 11\r\n\r\n{\"ok\":true}"
            )
            .as_bytes(),
        )
    };
}

/// A good answer with this and no other type.
macro_rules! typed {
    ($fields:literal) => {
        Play::Says(
            concat!("HTTP/1.1 200 OK\r\n", $fields, "Content-Length: 11\r\n\r\n{\"ok\":true}")
                .as_bytes(),
        )
    };
}

#[rustfmt::skip] // a table: one row, one or two lines
pub(super) const ROWS: &[Row] = &[
    // Other protocols.
    row("B14", "invalid", "bytes that are no protocol", NOT_HTTP, Play::Says(b"\x00\xff\x8a\x01")),
    row("B14", "tls", "a TLS alert", NOT_HTTP, Play::Says(b"\x15\x03\x01\x00\x02\x02\x0a")),
    row("B14", "http2", "frames of HTTP/2", NOT_HTTP, Play::Says(b"\0\0\x12\x04\0\0\0\0\0")),
    row("B14", "http2-preface", "the preface of HTTP/2", NOT_HTTP, Play::Says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    row("B14", "ssh", "an SSH banner", NOT_HTTP, Play::Says(b"SSH-2.0-OpenSSH_9.2\r\n")),
    row("B14", "smtp", "an SMTP greeting", NOT_HTTP, Play::Says(b"220 app ESMTP\r\n")),
    row("B14", "icy", "a radio's status line", NOT_HTTP, line!("ICY 200 OK")),
    row("B15", "http09", "HTTP/0.9: a body and nothing else", NOT_HTTP, Play::Says(b"{\"ok\":true}")),
    row("B31", "echo-request", "the request as the answer", NOT_HTTP, Play::Looks(|request| vec![Step::Send(request.to_vec())])),
    // Versions and status lines.
    row("B32", "http10", "HTTP/1.0", PASSED, line!("HTTP/1.0 200 OK")),
    row("B32", "http37", "HTTP/3.7", NOT_HTTP, line!("HTTP/3.7 200 OK")),
    row("B32", "http20", "HTTP/2.0 in text", NOT_HTTP, line!("HTTP/2.0 200 OK")),
    row("B32", "http12", "HTTP/1.2", NOT_HTTP, line!("HTTP/1.2 200 OK")),
    row("B32", "http110", "HTTP/1.10", NOT_HTTP, line!("HTTP/1.10 200 OK")),
    row("B32", "lowercase", "http/1.1", NOT_HTTP, line!("http/1.1 200 OK")),
    row("B32", "leading-space", "a space before the version", NOT_HTTP, line!(" HTTP/1.1 200 OK")),
    row("B32", "leading-line", "an empty line first", NOT_HTTP, line!("\r\nHTTP/1.1 200 OK")),
    row("B33", "no-reason", "a status without a reason", PASSED, line!("HTTP/1.1 200")),
    row("B33", "empty-reason", "an empty reason", PASSED, line!("HTTP/1.1 200 ")),
    row("B33", "status-1000", "a status of four digits", NOT_HTTP, line!("HTTP/1.1 1000 OK")),
    row("B33", "status-099", "status 099", NOT_HTTP, line!("HTTP/1.1 099 OK")),
    row("B33", "status-600", "status 600", NOT_HTTP, line!("HTTP/1.1 600 OK")),
    row("B33", "status-20", "a status of two digits", NOT_HTTP, line!("HTTP/1.1 20 OK")),
    row("B33", "status-letters", "a status of letters", NOT_HTTP, line!("HTTP/1.1 2OO OK")),
    row("B33", "status-minus", "a negative status", NOT_HTTP, line!("HTTP/1.1 -20 OK")),
    row("B33", "two-spaces", "two spaces before the status", NOT_HTTP, line!("HTTP/1.1  200 OK")),
    row("B33", "tab-status", "a tab before the status", NOT_HTTP, line!("HTTP/1.1\t200 OK")),
    row("B33", "glued-reason", "a reason glued to the status", NOT_HTTP, line!("HTTP/1.1 200OK")),
    row("B33", "reason-escape", "an escape sequence as reason", NOT_HTTP, line!("HTTP/1.1 200 \x1b[2J")),
    row("B33", "reason-nul", "NUL in the reason", NOT_HTTP, line!("HTTP/1.1 200 O\0K")),
    row("B33", "reason-cr", "a bare CR in the reason", NOT_HTTP, line!("HTTP/1.1 200 O\rK")),
    row("B33", "reason-latin", "bytes above 0x7f in the reason", PASSED, line!("HTTP/1.1 200 \u{e9}")),
    row("B33", "reason-endless", "a reason without end", HEADERS, Play::Steps(|_| endless(b"HTTP/1.1 200 ", b"xxxxxxxx"))),
    // Interim answers.
    row("B34", "continue", "100 before the answer", PASSED, line!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")),
    row("B34", "hints", "103 twice before the answer", PASSED, line!("HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK")),
    row("B34", "interim-3", "three interim answers", NOT_HTTP, line!("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK")),
    row("B34", "continue-flood", "100 for ever", NOT_HTTP, Play::Steps(|_| endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"))),
    row("B34", "interim-fields", "interim answers that use up the fields", HEADERS, Play::Makes(|| {
        let interim = format!("HTTP/1.1 103 Early\r\n{}\r\n", "A: b\r\n".repeat(33));
        [interim.repeat(2).into_bytes(), good_head(GOOD.as_bytes())].concat()
    })),
    row("B34", "interim-encoded", "an interim answer that says it is compressed", ENCODING, line!("HTTP/1.1 103 E\r\nContent-Encoding: gzip\r\n\r\nHTTP/1.1 200 OK")),
    row("B34", "switching", "101 though nobody asked", NOT_HTTP, Play::Says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")),
    // Lines and names of the head.
    row("B35", "bare-lf", "lines that end in LF alone", NOT_HTTP, Play::Says(b"HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 11\n\n{\"ok\":true}")),
    row("B35", "one-bare-lf", "one line that ends in LF alone", NOT_HTTP, fields!("X: y\n")),
    row("B35", "smuggled-lf", "a second field behind a bare LF", NOT_HTTP, fields!("X: y\nTransfer-Encoding: chunked\r\n")),
    row("B35", "bare-cr", "a bare CR in a value", NOT_HTTP, fields!("X: y\rTransfer-Encoding: chunked\r\n")),
    row("B35", "end-bare-lf", "a head that ends in a bare LF", NOT_HTTP, Play::Says(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\n{\"ok\":true}")),
    row("B36", "obs-fold", "a value folded over two lines", NOT_HTTP, fields!("X: a\r\n b\r\n")),
    row("B36", "obs-fold-tab", "a value folded with a tab", NOT_HTTP, fields!("X: a\r\n\tb\r\n")),
    row("B36", "fold-length", "a folded Content-Length", NOT_HTTP, fields!("Content-Length:\r\n 5\r\n")),
    row("B36", "name-space", "a space in a name", NOT_HTTP, fields!("X Y: z\r\n")),
    row("B36", "name-space-colon", "a space before the colon", NOT_HTTP, fields!("Transfer-Encoding : chunked\r\n")),
    row("B36", "name-empty", "no name", NOT_HTTP, fields!(": y\r\n")),
    row("B36", "name-nul", "NUL in a name", NOT_HTTP, fields!("X\0Y: z\r\n")),
    row("B36", "name-high", "a byte above 0x7f in a name", NOT_HTTP, fields!("X\u{e9}: z\r\n")),
    row("B36", "name-separator", "brackets in a name", NOT_HTTP, fields!("X(y): z\r\n")),
    row("B36", "no-colon", "a line without a colon", NOT_HTTP, fields!("nonsense\r\n")),
    row("B36", "value-nul", "NUL in a value", NOT_HTTP, fields!("X: a\0b\r\n")),
    row("B36", "value-escape", "an escape sequence in a value", NOT_HTTP, fields!("X: \x1b]0;owned\x07\r\n")),
    row("B36", "value-delete", "DEL in a value", NOT_HTTP, fields!("X: a\x7f\r\n")),
    row("B36", "value-formfeed", "a form feed around a value", NOT_HTTP, fields!("X: \x0ca\r\n")),
    row("B36", "value-high", "bytes that are not UTF-8 in a value", PASSED, Play::Says(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: \x80\xff\r\nContent-Length: 11\r\n\r\n{\"ok\":true}")),
    row("B36", "value-empty", "an empty value", PASSED, fields!("X:\r\n")),
    row("B36", "value-tab", "tabs around a value", PASSED, fields!("X: \ty\t \r\n")),
    // Sizes of the head.
    row("B04", "bighdr", "a field of 1 MiB", HEADERS, Play::Steps(|_| vec![Step::Send(b"HTTP/1.1 200 OK\r\nX: ".to_vec()), Step::Repeat(b"x".to_vec(), 1 << 20)])),
    row("B05", "manyhdr", "a million fields", HEADERS, Play::Steps(|_| vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Repeat(b"A: b\r\n".to_vec(), 6_000_000)])),
    row("B04", "head-16384", "a head of exactly 16 KiB", PASSED, Play::Makes(|| head_of(16_384))),
    row("B04", "head-16385", "a head of 16 KiB and a byte", HEADERS, Play::Makes(|| head_of(16_385))),
    row("B05", "fields-64", "64 fields", PASSED, Play::Makes(|| fields_of(64))),
    row("B05", "fields-65", "65 fields", HEADERS, Play::Makes(|| fields_of(65))),
    // Statuses.
    row("B16", "redirect:http://169.254.169.254/latest/meta-data/", "a redirect to a cloud's metadata", REDIRECT, Play::Parsed),
    row("B16", "redirect:http://127.0.0.1:27017/", "a redirect to a database", REDIRECT, Play::Parsed),
    row("B16", "redirect:http://127.0.0.1:2375/containers/json", "a redirect to an engine", REDIRECT, Play::Parsed),
    row("B16", "redirect:file:///etc/passwd", "a redirect to a file", REDIRECT, Play::Parsed),
    row("B16", "redirect:javascript:alert(1)", "a redirect to a script", REDIRECT, Play::Parsed),
    row("B16", "redirect-long", "a redirect to a place of 8 KiB", REDIRECT, Play::Makes(|| {
        format!("HTTP/1.1 307 X\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n", "x".repeat(8192)).into_bytes()
    })),
    row("B16", "redirect-nowhere", "a redirect without a place", REDIRECT, Play::Says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")),
    row("B16", "redirect-split", "a place with a line break in it", NOT_HTTP, Play::Says(b"HTTP/1.1 302 Found\r\nLocation: /a\r\rX: y\r\n\r\n")),
    row("B16", "refresh", "Refresh and Location beside a good answer", PASSED, fields!("Location: http://169.254.169.254/\r\nRefresh: 0; url=http://169.254.169.254/\r\n")),
    row("B17", "redirloop", "a redirect to itself", REDIRECT, Play::Says(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")),
    row("B17", "redirect-308", "a permanent redirect with a good body", REDIRECT, line!("HTTP/1.1 308 Permanent Redirect\r\nLocation: /b")),
    row("B17", "status:304", "not modified", REDIRECT, Play::Parsed),
    row("B25", "status:500", "500 with a good body", STATUS, Play::Parsed),
    row("B25", "status:404", "404 with a good body", STATUS, Play::Parsed),
    row("B25", "status:204", "204 with a good body", STATUS, Play::Parsed),
    row("B25", "status:201", "201 with a good body", STATUS, Play::Parsed),
    row("B25", "status:206", "a part of a good body", STATUS, Play::Parsed),
    row("B25", "status:401", "401, to be asked for a password", STATUS, Play::Parsed),
    // Two answers to one question.
    row("B24", "flipflop", "right, wrong, right", UNSTABLE, Play::Steps(|nth| match nth % 2 {
        0 => good(),
        _ => vec![Step::Send(good_head(b"{\"ok\":false}"))],
    })),
    row("B24", "flip-status", "200, then 500", UNSTABLE, Play::Steps(|nth| match nth % 2 {
        0 => good(),
        _ => vec![Step::Send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec())],
    })),
    row("B24", "flip-garbage", "right, then no HTTP", UNSTABLE, Play::Steps(|nth| match nth % 2 {
        0 => good(),
        _ => vec![Step::Send(b"\x16\x03\x01".to_vec())],
    })),
    row("B24", "flip-close", "right, then nothing", UNSTABLE, Play::Steps(|nth| match nth % 2 {
        0 => good(),
        _ => Vec::new(),
    })),
    row("B27", "cloaked", "answers nobody but the prober", PASSED, Play::Looks(|request| {
        match String::from_utf8_lossy(request).contains("\r\nUser-Agent: portcall-prober/1\r\n") {
            true => good(),
            false => vec![Step::Send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_vec())],
        }
    })),
    row("B37", "cookies", "sixty cookies", PASSED, Play::Makes(|| {
        let cookies = "Set-Cookie: a=b\r\n".repeat(60);
        let good = String::from_utf8_lossy(&good_head(GOOD.as_bytes())).into_owned();
        good.replacen("\r\n", &format!("\r\n{cookies}"), 1).into_bytes()
    })),
    row("B37", "upgrade", "an upgrade offered beside a good answer", PASSED, fields!("Upgrade: h2c\r\nAlt-Svc: h2=\":443\"\r\n")),
    // Types.
    row("B26", "nocontenttype", "no Content-Type", CONTENT_TYPE, typed!("")),
    row("B26", "type-html", "JSON as HTML", CONTENT_TYPE, typed!("Content-Type: text/html\r\n")),
    row("B26", "type-text-json", "text/json", CONTENT_TYPE, typed!("Content-Type: text/json\r\n")),
    row("B26", "type-longer", "application/jsonx", CONTENT_TYPE, typed!("Content-Type: application/jsonx\r\n")),
    row("B26", "type-problem", "application/problem+json", CONTENT_TYPE, typed!("Content-Type: application/problem+json\r\n")),
    row("B26", "type-list", "two types in one field", CONTENT_TYPE, typed!("Content-Type: application/json, text/html\r\n")),
    row("B26", "type-twice", "two fields with different types", CONTENT_TYPE, typed!("Content-Type: application/json\r\nContent-Type: text/html\r\n")),
    row("B26", "type-same-twice", "two fields with one type", PASSED, typed!("Content-Type: application/json\r\nContent-Type: application/json\r\n")),
    row("B26", "type-case", "APPLICATION/JSON", PASSED, typed!("Content-Type: APPLICATION/JSON\r\n")),
    row("B26", "charset-utf8", "charset=\"UTF-8\"", PASSED, typed!("Content-Type: application/json ; charset=\"UTF-8\"\r\n")),
    row("B26", "charset-utf16", "charset=utf-16", CONTENT_TYPE, typed!("Content-Type: application/json; charset=utf-16\r\n")),
    row("B26", "charset-latin", "charset=iso-8859-1", CONTENT_TYPE, typed!("Content-Type: application/json;charset=iso-8859-1\r\n")),
    row("B26", "charset-twice", "two charsets", CONTENT_TYPE, typed!("Content-Type: application/json; charset=utf-8; charset=utf-7\r\n")),
    row("B26", "type-parameters", "other parameters", PASSED, typed!("Content-Type: application/json; profile=\"a;b\"; v=1\r\n")),
];

fn good() -> Vec<Step> {
    vec![Step::Send(good_head(GOOD.as_bytes()))]
}

/// 8 MiB are endless for a reader with limits.
fn endless(first: &[u8], then: &[u8]) -> Vec<Step> {
    vec![Step::Send(first.to_vec()), Step::Repeat(then.to_vec(), 8 << 20)]
}

/// A good answer whose head has so many bytes.
fn head_of(bytes: usize) -> Vec<u8> {
    let good = good_head(GOOD.as_bytes());
    let (head, pad) = (good.len() - GOOD.len(), "X: \r\n".len());
    let field = format!("\r\nX: {}\r\n", "x".repeat(bytes - head - pad));
    String::from_utf8_lossy(&good).replacen("\r\n", &field, 1).into_bytes()
}

/// A good answer with so many fields.
fn fields_of(fields: usize) -> Vec<u8> {
    let more = format!("\r\n{}", "A: b\r\n".repeat(fields - 2));
    String::from_utf8_lossy(&good_head(GOOD.as_bytes())).replacen("\r\n", &more, 1).into_bytes()
}
