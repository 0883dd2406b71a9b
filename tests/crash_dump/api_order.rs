//! The order of the checks of OpenStack's API: whatever else is wrong, the first one decides.

use serde_json::{Value, json};

use crate::api::{Answer, Api, TRIGGER, UNSUPPORTED, VERSION, send};
use crate::support::eventually;

const UNKNOWN: &str = "01234567-89ab-cdef-0123-456789abcdef";

const NOT_FOUND: &str = "The resource could not be found.";

const POLICY: &str =
    "Policy doesn't allow os_compute_api:servers:trigger_crash_dump to be performed.";

/// A request of a crash dump, with everything that a check may refuse.
#[derive(Clone)]
struct Attempt<'a> {
    token: Option<&'a str>,
    version: &'a str,
    kind: &'a str,
    body: &'a str,
    project: &'a str,
    id: &'a str,
}

impl Attempt<'_> {
    async fn send(&self, api: &Api) -> Answer {
        let mut headers = vec![(VERSION, self.version), ("content-type", self.kind)];
        headers.extend(self.token.map(|token| ("x-auth-token", token)));
        let path = format!("/v2.1{}/servers/{}/action", self.project, self.id);
        send(&api.gridd.http, ("POST", &path), &headers, self.body.as_bytes()).await
    }
}

/// A broker whose callers need credentials, with appliances that have no driver.
struct World {
    api: Api,
    operator: String,
    viewer: String,
    project: String,
    running: String,
    stopped: String,
    new: String,
    locked_new: String,
    locked: String,
}

/// What makes a check refuse a request, and how it does.
struct Row<'a> {
    spoil: Box<dyn Fn(&mut Attempt<'a>) + 'a>,
    status: u16,
    name: &'a str,
    message: String,
}

fn row<'a>(
    (status, name): (u16, &'a str),
    message: impl Into<String>,
    spoil: impl Fn(&mut Attempt<'a>) + 'a,
) -> Row<'a> {
    Row { spoil: Box::new(spoil), status, name, message: message.into() }
}

const BAD_REQUEST: (u16, &str) = (400, "badRequest");
const HIDDEN: (u16, &str) = (404, "itemNotFound");
const CONFLICT: (u16, &str) = (409, "conflictingRequest");

impl World {
    async fn start() -> Self {
        let api = Api::start().await;
        for name in ["none-1", "none-2", "none-5"] {
            api.runs(name, 1).await;
        }
        api.gridctl("appliance stop none-2").await.done();
        for name in ["none-3", "none-4"] {
            api.gridctl(&format!("appliance add {name}")).await.done();
        }
        for name in ["none-4", "none-5"] {
            api.gridctl(&format!("appliance lock {name}")).await.done();
        }
        let api = api.required().await;
        let operator = api.administrator("otto", "operator").await;
        let viewer = api.administrator("vera", "viewer").await;
        let headers = [("x-auth-token", operator.as_str())];
        let listed = api.get("/v2.1/servers/detail", &headers).await.json();
        let project = listed["servers"][0]["tenant_id"].as_str().expect("a project").to_owned();
        let (running, stopped, new) =
            (api.id("none-1").await, api.id("none-2").await, api.id("none-3").await);
        let (locked_new, locked) = (api.id("none-4").await, api.id("none-5").await);
        Self { api, operator, viewer, project, running, stopped, new, locked_new, locked }
    }

    /// A request that only the last check refuses.
    fn ready(&self) -> Attempt<'_> {
        Attempt {
            token: Some(&self.operator),
            version: "compute 2.17",
            kind: "application/json",
            body: TRIGGER,
            project: "",
            id: &self.running,
        }
    }

    /// The checks of the request, in their order.
    fn checks_of_the_request(&self) -> Vec<Row<'_>> {
        let unsupported =
            "Version 2.999 is not supported by the API. Minimum is 2.1 and maximum is 2.84.";
        let mismatch = format!(
            "Malformed request URL: URL's project_id 'abc-123' doesn't match Context's project_id \
             '{}'",
            self.project
        );
        let not_null = "Invalid input for field/attribute trigger_crash_dump. Value: not null. \
                        'not null' is not of type 'null'";
        vec![
            row((401, "error"), "", |it| it.token = None),
            row((406, "computeFault"), unsupported, |it| it.version = "compute 2.999"),
            row((415, "badMediaType"), "Unsupported Content-Type", |it| it.kind = "text/xml"),
            row(BAD_REQUEST, "Malformed request body", |it| it.body = "{}"),
            row(HIDDEN, NOT_FOUND, |it| it.body = "null"),
            row(BAD_REQUEST, "There is no such action: crash", |it| it.body = r#"{"crash": null}"#),
            row(BAD_REQUEST, mismatch, |it| it.project = "/abc-123"),
            row(HIDDEN, NOT_FOUND, |it| it.version = "compute 2.16"),
            row(BAD_REQUEST, not_null, |it| it.body = r#"{"trigger_crash_dump": "not null"}"#),
        ]
    }

    /// Those of the server, which follow.
    fn checks_of_the_server(&self) -> Vec<Row<'_>> {
        let Self { viewer, stopped, new, locked_new, .. } = self;
        let unknown = format!("Instance {UNKNOWN} could not be found.");
        let state = format!(
            "Cannot 'trigger_crash_dump' instance {stopped} while it is in vm_state stopped"
        );
        vec![
            row(HIDDEN, unknown, |it| it.id = UNKNOWN),
            row((403, "forbidden"), POLICY, |it| it.token = Some(viewer)),
            row(CONFLICT, format!("Instance {locked_new} is locked"), |it| it.id = locked_new),
            row(CONFLICT, format!("Instance {new} is not ready"), |it| it.id = new),
            row(CONFLICT, state, |it| it.id = stopped),
            row(BAD_REQUEST, UNSUPPORTED, |_| {}),
        ]
    }

    /// Who passes locks meets the next check.
    async fn admins_pass_locks(&self) {
        let admin = self.api.admin();
        let ready = Attempt { token: Some(&admin), ..self.ready() };
        let Self { locked_new, locked, .. } = self;
        let answer = Attempt { id: locked_new, ..ready.clone() }.send(&self.api).await;
        answer.is_fault(409, "conflictingRequest", &format!("Instance {locked_new} is not ready"));
        let answer = Attempt { id: locked, ..ready }.send(&self.api).await;
        answer.is_fault(400, "badRequest", UNSUPPORTED);
    }

    /// No refusal left anything.
    async fn is_untouched(&self) {
        for number in 1..=5 {
            let name = format!("none-{number}");
            assert_eq!(self.api.calls(&name), 0);
            let listed = self.api.gridctl_json(&format!("appliance crash-dumps {name}")).await;
            assert_eq!(listed, Value::Array(Vec::new()), "{name}");
        }
    }
}

#[track_caller]
fn is_unauthenticated(api: &Api, answer: &Answer) {
    let message = "The request you have made requires authentication.";
    let expected = json!({"error": {"code": 401, "title": "Unauthorized", "message": message}});
    assert_eq!((answer.status, answer.json()), (401, expected));
    let challenge = format!("Keystone uri=\"http://{}/v3\"", api.gridd.http);
    assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
    answer.has_version(None);
    answer.request_id();
}

#[tokio::test]
async fn checks_have_the_order_of_novas() {
    let world = World::start().await;
    let ready = world.ready();
    // Before the limit of such records is reached.
    let refused = Attempt { token: Some(&world.viewer), ..ready.clone() }.send(&world.api).await;
    refused.is_fault(403, "forbidden", POLICY);
    eventually("a record of the viewer's attempt", async || {
        let log = world.api.gridctl_json("log list --all --kind security").await.to_string();
        (log.contains("vera") && log.contains("trigger_crash_dump of")).then_some(())
    })
    .await;
    let mut rows = world.checks_of_the_request();
    rows.extend(world.checks_of_the_server());
    assert_eq!(rows.len(), 15);
    for (at, first) in rows.iter().enumerate() {
        for second in &rows[at..] {
            let mut attempt = ready.clone();
            (second.spoil)(&mut attempt);
            (first.spoil)(&mut attempt);
            let answer = attempt.send(&world.api).await;
            if first.status == 401 {
                is_unauthenticated(&world.api, &answer);
            } else {
                answer.is_fault(first.status, first.name, &first.message);
            }
        }
    }
    world.admins_pass_locks().await;
    world.is_untouched().await;
}
