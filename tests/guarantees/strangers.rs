//! Whoever can connect, and is nobody, changes nothing, holds nothing and fills nothing: requests as
//! browsers make them, and frames of HTTP/2 made by hand, against the real broker.

use grid_broker::contract::proto::RemoveApplianceRequest;
use grid_broker::tasks;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::client::GrpcService;
use tonic::transport::Endpoint;

use crate::page::page;
use crate::support::{Gridd, eventually, soon};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Frames of HTTP/2, and their flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Headers of a call, each a literal that is not indexed.
fn call_headers(gridd: &Gridd) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grid.events.v1.BrokerService/GetStatus"),
        (":authority", &gridd.grpc),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A gRPC message.
fn message(name: &str) -> Vec<u8> {
    let request = RemoveApplianceRequest { name: name.to_owned() }.encode_to_vec();
    let mut body = vec![0, 0, 0, 0, u8::try_from(request.len()).expect("short")];
    body.extend(request);
    body
}

const REMOVE: &str = "/grid.events.v1.ApplianceService/RemoveAppliance";

/// What comes until the end of a connection over which so much is sent.
async fn answer(address: &str, sent: &[u8]) -> Vec<u8> {
    let mut stream = soon("a connection", TcpStream::connect(address)).await.expect("connects");
    let mut answer = Vec::new();
    let (mut reads, mut writes) = stream.split();
    // Whoever is cut off does not get everything said.
    let (_, _) = soon("the end", async {
        tokio::join!(reads.read_to_end(&mut answer), writes.write_all(sent))
    })
    .await;
    answer
}

/// Why HTTP/2 ends a connection over which these frames are sent.
async fn goes_away(gridd: &Gridd, frames: &[u8]) -> String {
    let sent = [PREFACE, &frame(SETTINGS, 0, 0, b""), frames].concat();
    let answer = answer(&gridd.grpc, &sent).await;
    let mut rest = &answer[..];
    while let [a, b, c, kind, _, _, _, _, _, behind @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let payload = &behind[..length.min(behind.len())];
        if *kind == GO_AWAY && payload.len() >= 8 && payload[4..8] != [0; 4] {
            return String::from_utf8_lossy(&payload[8..]).into_owned();
        }
        rest = &behind[payload.len()..];
    }
    // The word may be lost when a connection is reset behind it.
    String::new()
}

/// The HTTP status and the status of gRPC of one call with these headers.
async fn call(gridd: &Gridd, origin: &str, headers: &[(&str, &str)]) -> (u16, Option<String>) {
    let uri: http::Uri = format!("http://{}", gridd.grpc).parse().expect("a URI");
    let origin: http::Uri = origin.parse().expect("a URI");
    let endpoint = Endpoint::from(uri).origin(origin);
    let mut channel = soon("a connection", endpoint.connect()).await.expect("connects");
    let mut request = http::Request::post(REMOVE);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = tonic::body::Body::new(axum::body::Body::from(message("victim")));
    std::future::poll_fn(|context| GrpcService::poll_ready(&mut channel, context))
        .await
        .expect("it is ready");
    let calling = GrpcService::call(&mut channel, request.body(body).expect("a request"));
    let answer = soon("the answer", calling).await.expect("an answer");
    let status =
        answer.headers().get("grpc-status").map(|it| it.to_str().expect("text").to_owned());
    (answer.status().as_u16(), status)
}

#[tokio::test]
async fn what_a_browser_can_send_removes_no_appliance() {
    let gridd = Gridd::start().await;
    gridd.gridctl(&["appliance", "add", "victim"]).await.done();
    let own = format!("http://{}", gridd.grpc);
    let grpc = ("content-type", "application/grpc");
    for (origin, headers, expected) in [
        (own.as_str(), &[("content-type", "text/plain")][..], (415, None)),
        (&own, &[], (415, None)),
        (&own, &[("content-type", "application/grpc-web+proto")], (415, None)),
        (&own, &[grpc, ("origin", "http://evil.example")], (403, None)),
        (&own, &[grpc, ("origin", "null")], (403, None)),
        (&own, &[grpc, ("sec-fetch-site", "same-origin")], (403, None)),
        ("http://evil.example", &[grpc], (200, Some("7".to_owned()))),
        ("http://localhost.evil.example:7443", &[grpc], (200, Some("7".to_owned()))),
    ] {
        assert_eq!(call(&gridd, origin, headers).await, expected, "{origin} {headers:?}");
    }
    // As the fault was found: HTTP/1 with the name and the origin of another.
    let body = message("victim");
    let mut request = format!(
        "POST {REMOVE} HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(&body);
    let told = String::from_utf8_lossy(&answer(&gridd.grpc, &request).await).into_owned();
    assert!(told.starts_with("HTTP/1.1 505 "), "{told}");
    let pages = format!("pages are on http://{}\n", gridd.http);
    assert!(told.ends_with(&pages), "{told}");
    assert_eq!(gridd.appliance("victim").await.name, "victim", "it is still there");
    // And by the right way it goes.
    let (status, code) = call(&gridd, "http://localhost:1", &[grpc]).await;
    assert_eq!((status, code.unwrap_or("0".to_owned()).as_str()), (200, "0"));
}

#[tokio::test]
async fn pages_are_served_under_our_own_names_alone() {
    let gridd = Gridd::with_config("hosts = \"broker.example\"\n").await;
    let get = async |headers: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        let told = answer(&gridd.http, request.as_bytes()).await;
        String::from_utf8_lossy(&told).get(9..12).map(str::to_owned).unwrap_or_default()
    };
    for (headers, status) in [
        (format!("Host: {}\r\n", gridd.http), "200"),
        ("Host: broker.example:80\r\n".to_owned(), "200"),
        ("Host: evil.example\r\n".to_owned(), "421"),
        (String::new(), "400"),
        ("Host: localhost\r\nHost: localhost\r\n".to_owned(), "400"),
    ] {
        assert_eq!(get(&headers).await, status, "{headers}");
    }
    let post = "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\
                Content-Length: 0\r\nConnection: close\r\n\r\n";
    let told = answer(&gridd.http, post.as_bytes()).await;
    assert!(told.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(&told));
}

#[tokio::test]
async fn frames_that_only_cost_us_end_their_connection() {
    let gridd = Gridd::start().await;
    let headers = call_headers(&gridd);
    let streams = |count: u32, with: &dyn Fn(u32) -> Vec<u8>| -> Vec<u8> {
        let of_stream = |at| {
            let stream = 2 * at + 1;
            [frame(HEADERS, END_HEADERS, stream, &headers), with(stream)].concat()
        };
        (0..count).flat_map(of_stream).collect()
    };
    let cancel = 8_u32.to_be_bytes();
    let too_far = 0x7fff_ffff_u32.to_be_bytes();
    let rapid_reset = streams(2_000, &|stream| frame(RST_STREAM, 0, stream, &cancel));
    let made_you_reset = streams(600, &|stream| frame(WINDOW_UPDATE, 0, stream, &too_far));
    let begun = frame(HEADERS, 0, 1, &headers);
    let continued = frame(CONTINUATION, 0, 1, b"").repeat(1_000);
    let large = frame(CONTINUATION, 0, 1, &[0; 16_000]).repeat(8);
    let empty = frame(DATA, 0, 1, b"").repeat(500);
    let whole = frame(HEADERS, END_HEADERS, 1, &headers);
    for (what, frames, word) in [
        ("rapid reset", rapid_reset, "too_many_resets"),
        ("resets that we are made to send", made_you_reset, "too_many_internal_resets"),
        ("a header without end", [begun.clone(), continued].concat(), "too_many_continuations"),
        ("a header too large", [begun, large].concat(), ""),
        ("empty data", [whole, empty].concat(), "too_many_data_frames"),
    ] {
        let why = goes_away(&gridd, &frames).await;
        assert!(why.is_empty() || word.is_empty() || why == word, "{what}: {why}");
    }
    assert_eq!(page(&gridd.http, "/livez").await.0, 200);
    let told = gridd.stderr();
    assert!(told.lines().count() < 10, "{told}");
}

#[tokio::test]
async fn frames_that_nobody_asked_for_write_no_lines() {
    let gridd = Gridd::start().await;
    let mut stream = TcpStream::connect(&gridd.grpc).await.expect("connects");
    let unasked = frame(PING, ACK, 0, b"unasked!").repeat(20_000);
    let last = frame(PING, 0, 0, b"the last");
    let sent = [PREFACE, &frame(SETTINGS, 0, 0, b""), &unasked, &last].concat();
    stream.write_all(&sent).await.expect("all is taken");
    let mut received = Vec::new();
    while !received.windows(8).any(|it| it == b"the last") {
        let count = soon("the answer to the last ping", stream.read_buf(&mut received)).await;
        assert!(count.is_ok_and(|count| count > 0), "the connection stays");
    }
    let told = gridd.stderr();
    assert!(told.lines().count() < 10, "{} lines", told.lines().count());
}

#[tokio::test]
async fn whoever_says_half_of_something_is_gone_soon_and_counted() {
    let gridd = Gridd::start().await;
    let kinds: [(&str, &[u8]); 6] = [
        (&gridd.grpc, b""),
        (&gridd.grpc, b"P"),
        (&gridd.grpc, &PREFACE[..20]),
        (&gridd.http, b""),
        (&gridd.http, b"GET / HTTP/1.1\r\nHo"),
        (&gridd.http, PREFACE),
    ];
    let mut open = Vec::new();
    for (address, sent) in kinds.into_iter().cycle().take(60) {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(sent).await.expect("taken");
        open.push(stream);
    }
    for mut stream in open {
        // Settings of the broker may come first.
        let mut rest = Vec::new();
        let _ = soon("its end", stream.read_to_end(&mut rest)).await;
    }
    let (_, _, metrics) = page(&gridd.http, "/metrics").await;
    for listener in ["grpc", "http"] {
        let begin = format!(
            "gridd_connections_refused_total{{listener=\"{listener}\",reason=\"silent\"}} 30\n"
        );
        assert!(metrics.contains(&begin), "{begin}{metrics}");
    }
}

/// A server of one page; what it gives says when somebody asked for `/done`.
async fn evil_site(html: String) -> (String, mpsc::Receiver<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let (told, done) = mpsc::channel(16);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{html}",
        html.len()
    );
    drop(tasks::spawn("evil site", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (told, answer) = (told.clone(), answer.clone());
            // Browsers open connections for later.
            drop(tasks::spawn("evil page", async move {
                let mut request = vec![0; 8_192];
                let count = stream.read(&mut request).await.unwrap_or(0);
                if request[..count].starts_with(b"GET /done ") {
                    let _ = told.try_send(());
                }
                let _ = stream.write_all(answer.as_bytes()).await;
            }));
        }
    }));
    (address, done)
}

#[tokio::test]
async fn a_page_of_another_origin_in_a_real_browser_changes_nothing() {
    let gridd = Gridd::start().await;
    gridd.gridctl(&["appliance", "add", "victim"]).await.done();
    let body = message("victim").iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let (grpc, http) = (&gridd.grpc, &gridd.http);
    let html = format!(
        "<body><iframe name=f></iframe><script>
        const body = new Uint8Array([{body}]);
        async function attack() {{
          for (const at of ['{grpc}', '{http}']) {{
            for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {{
              const options = {{method: 'POST', mode: 'no-cors', headers: {{'Content-Type': type}}, body}};
              try {{ await fetch('http://' + at + '{REMOVE}', options); }} catch (e) {{}}
            }}
            const form = document.createElement('form');
            form.action = 'http://' + at + '{REMOVE}';
            form.method = 'POST'; form.enctype = 'text/plain'; form.target = 'f';
            document.body.append(form);
            // A frame of another origin can't be looked into, so the page just waits.
            const sent = new Promise(end => setTimeout(end, 1000));
            form.submit();
            await sent;
          }}
          await fetch('/done');
        }}
        attack();
        </script>"
    );
    let (site, mut done) = evil_site(html).await;
    let profile = gridd.path("browser");
    let mut browser = crate::support::clean("/usr/bin/chromium");
    browser.env("PATH", "/usr/bin:/bin").env("HOME", &profile);
    browser.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]);
    browser.arg(format!("--user-data-dir={}", profile.display()));
    browser.arg("--remote-debugging-port=0").arg(format!("http://{site}/"));
    let browser = crate::support::Follower::start(browser);
    soon("the page has done its worst", done.recv()).await.expect("it says so");
    drop(browser);
    let refused = |text: &str, begin: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(begin));
        line.is_some_and(|count| count.trim() != "0")
    };
    // It did come to us, both ways.
    eventually("both ports refused it", async || {
        let (_, _, text) = page(&gridd.http, "/metrics").await;
        let grpc = "gridd_connections_refused_total{listener=\"grpc\",reason=\"not_http2\"} ";
        let http = "gridd_requests_refused_total{listener=\"http\",reason=\"cross_origin\"} ";
        (refused(&text, grpc) && refused(&text, http)).then_some(())
    })
    .await;
    assert_eq!(gridd.appliance("victim").await.name, "victim", "it is still there");
}
