//! OpenStack's API over plain HTTP, byte by byte, and a broker whose driver writes down that it is called.
//!
//! Guarantees that a request is sent as it is given, and that an answer is read whole. Does not know what
//! is to be answered.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Gridd, Run, Setup, clean, eventually, run, soon};

/// The body that triggers a crash dump.
pub(crate) const TRIGGER: &str = r#"{"trigger_crash_dump": null}"#;

/// The header that asks for a version, lower-case as answers have it.
pub(crate) const VERSION: &str = "openstack-api-version";

/// The version that has crash dumps first.
pub(crate) const LOWEST: (&str, &str) = (VERSION, "compute 2.17");

/// The highest version.
pub(crate) const LATEST: (&str, &str) = (VERSION, "compute latest");

/// What the driver of an appliance without support is told.
pub(crate) const UNSUPPORTED: &str = "Triggering crash dump is not supported";

/// Headers of a request.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Answer {
    /// The only header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(of, _)| of == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice: {self:?}");
        first
    }

    /// The body, which has to be JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It is a fault of Nova's shape, with the headers that all of them have.
    #[track_caller]
    pub(crate) fn is_fault(&self, status: u16, name: &str, message: &str) {
        let expected = json!({name: {"code": status, "message": message}});
        assert_eq!((self.status, self.json()), (status, expected), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json; charset=UTF-8"));
        self.request_id();
    }

    /// The request id, which is in both headers.
    #[track_caller]
    pub(crate) fn request_id(&self) -> String {
        let ids = ["x-openstack-request-id", "x-compute-request-id"].map(|it| self.header(it));
        assert_eq!(ids[0], ids[1], "{self:?}");
        let id = ids[0].and_then(|id| id.strip_prefix("req-")).expect("a request id");
        assert!(uuid::Uuid::try_parse(id).is_ok() && id.len() == 36, "{id}");
        format!("req-{id}")
    }

    /// It tells that version, by all the headers that tell one.
    #[track_caller]
    pub(crate) fn has_version(&self, version: Option<&str>) {
        let standard = version.map(|it| format!("compute {it}"));
        assert_eq!(self.header(VERSION), standard.as_deref(), "{self:?}");
        assert_eq!(self.header("x-openstack-nova-api-version"), version, "{self:?}");
        let vary = version.map(|_| "OpenStack-API-Version, X-OpenStack-Nova-API-Version");
        assert_eq!(self.header("vary"), vary, "{self:?}");
    }
}

/// Sends a request to `address`; a body has a length, and no type unless the headers have one.
pub(crate) async fn send(
    address: &str,
    (method, path): (&str, &str),
    headers: Headers<'_>,
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut stream = soon("a connection", TcpStream::connect(address)).await.expect("connects");
    stream.write_all(head.as_bytes()).await.expect("writes");
    // A body that is too long is refused before it was read.
    let _ = stream.write_all(body).await;
    let mut bytes = Vec::new();
    let read = soon("the answer", stream.read_to_end(&mut bytes)).await;
    let text = String::from_utf8(bytes).expect("text");
    let (head, text) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("an answer: {read:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|it| it.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.to_ascii_lowercase(), value.to_owned())
    };
    let headers = lines.map(header).collect();
    Answer { status: status.expect("a status"), headers, text: text.to_owned() }
}

/// A broker with the API.
pub(crate) struct Api {
    pub(crate) gridd: Gridd,
    drivers: String,
    is_required: bool,
}

impl Api {
    /// One that trusts everybody. Its driver writes down that it was called; appliances `none-...` have
    /// no driver, that of `broken` fails, and those of `absent` and `silent` have sockets of these names.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::TempDir::with_prefix("gridd-test-").expect("a temporary folder");
        let calls = folder.path().join("calls");
        let driver = |script: &str| {
            format!(
                "driver = \"command\"\nprogram = \"/bin/sh\"\narguments = ['-c', '{script}', '{{name}}']\n"
            )
        };
        let write = format!("echo \"$0\" >>{}", calls.display());
        let mut drivers = format!("[class.default.crash_dump]\n{}", driver(&write));
        let broken = driver(&format!("{write}; echo no such domain >&2; exit 3"));
        drivers.push_str(&format!("[appliance.broken.crash_dump]\n{broken}"));
        for name in ["none-1", "none-2", "none-3", "none-4", "none-5", "none-6", "none-7"] {
            drivers.push_str(&format!("[appliance.{name}.crash_dump]\ndriver = \"none\"\n"));
        }
        for name in ["absent", "silent"] {
            let socket = folder.path().join(name);
            let socket = socket.display();
            drivers.push_str(&format!(
                "[appliance.{name}.crash_dump]\ndriver = \"qemu\"\nsocket = \"{socket}\"\ntimeout = \"1s\"\n"
            ));
        }
        std::fs::write(&calls, "").expect("writes");
        let gridd = Setup::within(folder, &drivers).start().await;
        Self { gridd, drivers, is_required: false }
    }

    /// The same on the same data, but callers need credentials.
    pub(crate) async fn required(mut self) -> Self {
        assert_eq!(self.gridd.terminate().await, Some(0));
        let config = format!("authentication = \"required\"\n{}", self.drivers);
        std::fs::write(self.gridd.path("gridd.toml"), config).expect("writes");
        self.gridd.start_again().await;
        Self { is_required: true, ..self }
    }

    /// An appliance runs, in that boot.
    pub(crate) async fn runs(&self, name: &str, boot: u128) {
        self.gridd.vme(name, boot, &["id=started_ok"]).await.done();
    }

    /// Runs `gridctl`; as the first administrator, if callers need credentials.
    pub(crate) async fn gridctl(&self, line: &str) -> Run {
        let mut command = clean(env!("CARGO_BIN_EXE_gridctl"));
        if self.is_required {
            command.env("GRID_TOKEN_FILE", self.gridd.data().join("admin-token"));
        }
        command.args(["--broker", &self.gridd.grpc]).args(line.split(' '));
        run(command).await
    }

    /// Runs `gridctl`, which has to print JSON.
    pub(crate) async fn gridctl_json(&self, line: &str) -> Value {
        let text = self.gridctl(&format!("{line} --output json")).await.done();
        serde_json::from_str(&text).expect("JSON")
    }

    /// The token of the first administrator.
    pub(crate) fn admin(&self) -> String {
        let file = std::fs::read_to_string(self.gridd.data().join("admin-token"));
        file.expect("the first administrator's").trim().to_owned()
    }

    /// The token of an administrator who is created for it.
    pub(crate) async fn administrator(&self, name: &str, role: &str) -> String {
        let line = format!("admin create {name} --role {role} --quiet");
        self.gridctl(&line).await.done().trim().to_owned()
    }

    /// How often the driver was called for that appliance.
    pub(crate) fn calls(&self, name: &str) -> usize {
        let calls = std::fs::read_to_string(self.gridd.path("calls")).expect("the calls");
        calls.lines().filter(|line| *line == name).count()
    }

    /// Waits until the driver was called so often for that appliance.
    pub(crate) async fn is_called(&self, name: &str, count: usize) {
        let what = format!("call {count} of the driver for {name}");
        eventually(&what, async || (self.calls(name) >= count).then_some(())).await;
        assert_eq!(self.calls(name), count);
    }

    /// Waits until that appliance is in that state.
    pub(crate) async fn becomes(&self, name: &str, state: &str) {
        eventually(&format!("{name} becomes {state}"), async || {
            let shown = self.gridctl_json(&format!("appliance show {name}")).await;
            (shown["state"] == state).then_some(())
        })
        .await;
    }

    /// The id of the server of that name.
    pub(crate) async fn id(&self, name: &str) -> String {
        let shown = self.gridctl_json(&format!("appliance show {name}")).await;
        shown["uuid"].as_str().expect("a UUID").to_owned()
    }

    /// Reads a page.
    pub(crate) async fn get(&self, path: &str, headers: Headers<'_>) -> Answer {
        send(&self.gridd.http, ("GET", path), headers, b"").await
    }

    /// Requests an action of a server, as clients do.
    pub(crate) async fn act(&self, id: &str, headers: Headers<'_>, body: &str) -> Answer {
        let path = format!("/v2.1/servers/{id}/action");
        let headers = [headers, &[("content-type", "application/json")]].concat();
        send(&self.gridd.http, ("POST", &path), &headers, body.as_bytes()).await
    }
}
