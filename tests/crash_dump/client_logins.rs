//! Clients of OpenStack that log in, against a broker whose callers need credentials, over TLS.
//!
//! Guarantees that each way to log in triggers one dump in the operator's name, and that whoever may
//! not trigger one is told so and triggers none.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::openstack::{Client, Release};
use crate::recorded_driver::Broker;
use crate::support::{Run, run};

/// An administrator with the role operator: Nova's member.
const OPERATOR: &str = "ann@example.org";

/// An administrator with the role viewer: Nova's reader.
const VIEWER: &str = "bob";

/// What a reader is told.
const POLICY: &str =
    "Policy doesn't allow os_compute_api:servers:trigger_crash_dump to be performed.";

/// What a stranger is told.
const STRANGER: &str = "The request you have made requires authentication.";

/// A broker, its administrators' tokens, and clients of one release.
struct World {
    broker: Broker,
    release: Release,
    operator: String,
    viewer: String,
    admin: String,
}

impl World {
    async fn start(release: Release, running: &[&str]) -> Self {
        let broker = Broker::start(running).await.secure().await;
        let operator = broker.administrator(OPERATOR, "operator").await;
        let viewer = broker.administrator(VIEWER, "viewer").await;
        let admin = std::fs::read_to_string(broker.gridd.data().join("admin-token"));
        let admin = admin.expect("the first administrator's").trim().to_owned();
        Self { broker, release, operator, viewer, admin }
    }

    /// A client that logs in so.
    fn client(&self, login: &[&str]) -> Client {
        let authority = self.broker.authority().display().to_string();
        let login = [&["--os-cacert", authority.as_str()], login].concat();
        Client::new(&self.broker.gridd, self.release, &login)
    }

    /// A client with a password for Keystone.
    fn by_password(&self, name: &str, password: &str) -> Client {
        self.client(&[
            "--os-auth-url",
            &self.broker.api("/v3"),
            "--os-username",
            name,
            "--os-password",
            password,
            "--os-project-name",
            "grid",
            "--os-user-domain-name",
            "Default",
            "--os-project-domain-name",
            "Default",
        ])
    }

    /// A client with an application credential.
    fn by_application_credential(&self, id: &str, secret: &str) -> Client {
        self.client(&[
            "--os-auth-type",
            "v3applicationcredential",
            "--os-auth-url",
            &self.broker.api("/v3"),
            "--os-application-credential-id",
            id,
            "--os-application-credential-secret",
            secret,
        ])
    }

    /// A client with a token and no Keystone.
    fn by_token(&self, token: &str) -> Client {
        let endpoint = self.broker.api("/v2.1");
        self.client(&[
            "--os-auth-type",
            "admin_token",
            "--os-endpoint",
            &endpoint,
            "--os-token",
            token,
        ])
    }

    /// A client with HTTP basic and no Keystone.
    fn by_http_basic(&self, name: &str, password: &str) -> Client {
        let endpoint = self.broker.api("/v2.1");
        self.client(&[
            "--os-auth-type",
            "http_basic",
            "--os-endpoint",
            &endpoint,
            "--os-username",
            name,
            "--os-password",
            password,
        ])
    }

    /// A client that finds all it needs in a file, as of a user who has several clouds.
    fn by_file(&self) -> Client {
        let cloud = json!({
            "auth_type": "v3applicationcredential",
            "auth": {
                "auth_url": self.broker.api("/v3"),
                "application_credential_id": OPERATOR,
                "application_credential_secret": self.operator,
            },
            "cacert": self.broker.authority(),
            "compute_api_version": "2.17",
        });
        // Of its own: a file with one cloud is read by all commands.
        let home = self.broker.gridd.path("home");
        let folder = home.join(".config/openstack");
        std::fs::create_dir_all(&folder).expect("a folder");
        // JSON is YAML.
        let file = json!({"clouds": {"grid": cloud}}).to_string();
        std::fs::write(folder.join("clouds.yaml"), file).expect("writes");
        Client::new(&self.broker.gridd, self.release, &["--os-cloud", "grid"]).at_home(home)
    }

    /// The only dump of that appliance, which is the operator's; gives its request id.
    async fn dumped_once(&self, name: &str) -> String {
        self.broker.called(name, 1).await;
        assert_eq!(self.broker.state(name).await, "dumping");
        let dumps = self.broker.dumps(name).await;
        let by = dumps[0]["by"].as_str().expect("who");
        assert!(by.contains(OPERATOR), "{dumps:?}");
        dumps[0]["request_id"].as_str().expect("a request id").to_owned()
    }

    /// Nobody has dumped that appliance.
    async fn is_untouched(&self, name: &str) {
        self.broker.called(name, 0).await;
        assert_eq!(self.broker.state(name).await, "running");
    }
}

#[tokio::test]
async fn the_old_openstack_logs_in_in_every_way() {
    logs_in_in_every_way(Release::Old).await;
}

#[tokio::test]
async fn the_new_openstack_logs_in_in_every_way() {
    logs_in_in_every_way(Release::New).await;
}

async fn logs_in_in_every_way(release: Release) {
    let names = (1..=8).map(|number| format!("press-{number}")).collect::<Vec<_>>();
    let names = names.iter().map(String::as_str).collect::<Vec<_>>();
    let world = World::start(release, &names).await;
    let ways = [
        ("press-1", world.by_token(&world.operator)),
        ("press-2", world.by_http_basic(OPERATOR, &world.operator)),
        ("press-3", world.by_password(OPERATOR, &world.operator)),
        ("press-4", world.by_application_credential(OPERATOR, &world.operator)),
    ];
    for (name, client) in &ways {
        client.silent(&format!("server dump create {name}")).await;
        world.dumped_once(name).await;
    }
    world.by_file().silent("server dump create press-8").await;
    world.dumped_once("press-8").await;
    let operator = &ways[2].1;
    shows_the_operator_what_happened(&world, operator).await;
    refuses_whoever_may_not(&world, operator).await;
    // Without TLS's authority nothing is sent.
    let endpoint = world.broker.api("/v2.1");
    let words = ["--os-auth-type", "admin_token", "--os-endpoint", &endpoint, "--os-token"];
    let words = [words.as_slice(), &[&world.operator]].concat();
    let distrustful = Client::new(&world.broker.gridd, release, &words);
    let said = distrustful.openstack("server dump create press-5").await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("CERTIFICATE_VERIFY_FAILED"), "{said:?}");
    world.is_untouched("press-5").await;
    locks_keep_operators_out(&world, operator).await;
    let nova = world.by_password(OPERATOR, &world.operator);
    the_nova_program_works_too(&world, &nova).await;
}

async fn shows_the_operator_what_happened(world: &World, operator: &Client) {
    let request_id = world.dumped_once("press-3").await;
    let listed = operator.json("server list").await;
    let status = |name: &str| {
        let mut servers = listed.as_array().expect("an array").iter();
        servers.find(|it| it["Name"] == name).expect("it is listed")["Status"].clone()
    };
    assert_eq!((status("press-3"), status("press-5")), ("REBOOT".into(), "ACTIVE".into()));
    let listed = operator.json("server event list --long press-3").await;
    let fields = ["Request ID", "User ID", "Message"].map(|field| listed[0][field].clone());
    let request_id: Value = request_id.into();
    assert_eq!(fields, [request_id, OPERATOR.into(), Value::Null], "{listed}");
    let issued = operator.json("token issue").await;
    assert_eq!(issued["user_id"], OPERATOR, "{issued}");
}

async fn refuses_whoever_may_not(world: &World, operator: &Client) {
    let line = "server dump create press-5";
    world.by_token(&world.viewer).refused(line, 403, POLICY).await;
    let viewer = world.by_password(VIEWER, &world.viewer);
    viewer.refused(line, 403, POLICY).await;
    let shown = viewer.json("server show press-5").await;
    assert_eq!(shown["status"], "ACTIVE", "a viewer sees it: {shown}");
    let said = viewer.openstack("server lock press-5").await;
    assert!(said.code == Some(1) && said.stderr.contains("403"), "{said:?}");

    world.by_token("gba_AAAAAAAA_unknown").refused(line, 401, STRANGER).await;
    world.by_http_basic(OPERATOR, &world.viewer).refused(line, 401, STRANGER).await;
    for stranger in [
        world.by_password(OPERATOR, &world.viewer),
        world.by_application_credential(VIEWER, &world.operator),
        world.by_password("nobody", "nothing"),
    ] {
        let said = stranger.openstack(line).await;
        // Both releases print the answer of the login alike.
        assert!(said.stderr.starts_with(&format!("{STRANGER} (HTTP 401) (")), "{said:?}");
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
    }
    let said = operator.openstack(&format!("--os-project-name other {line}")).await;
    let words = "Could not find project: other. The project of this broker is grid. (HTTP 401)";
    assert!(said.code == Some(1) && said.stderr.starts_with(words), "{said:?}");
    world.is_untouched("press-5").await;
    let shown = operator.json("server event list press-5").await;
    assert_eq!(shown, Value::Array(Vec::new()), "what is refused leaves no record of it");
    let security = world.broker.json("log list --all --kind security").await.to_string();
    assert!(security.contains(VIEWER), "but the grid log has the attempt: {security}");
}

async fn locks_keep_operators_out(world: &World, operator: &Client) {
    operator.silent("server lock press-6").await;
    let shown = operator.json("server show press-6").await;
    assert_eq!(shown["locked"], true, "{shown}");
    let id = shown["id"].as_str().expect("an id");
    let words = format!("Instance {id} is locked");
    operator.refused("server dump create press-6", 409, &words).await;
    world.is_untouched("press-6").await;
    let admin = world.by_application_credential("admin", &world.admin);
    admin.silent("server dump create press-6").await;
    // Locks do not hold up admins.
    world.broker.called("press-6", 1).await;
    operator.silent("server unlock press-6").await;
    assert_eq!(operator.json("server show press-6").await["locked"], false);
    // Nor does an operator remove the lock of an admin.
    admin.silent("server lock press-5").await;
    let words = "Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed.";
    operator.refused("server unlock press-5", 403, words).await;
    admin.silent("server unlock press-5").await;
}

async fn the_nova_program_works_too(world: &World, nova: &Client) {
    let (done, line) =
        (async |line: &str| nova.nova(line).await.done(), "trigger-crash-dump press-7");
    let said = done("list").await;
    let row = said.lines().find(|row| row.contains(" press-7 ")).expect("its row");
    assert!(row.contains("| ACTIVE | -          | Running "), "{said}");
    assert_eq!(done(line).await, "");
    let request_id = world.dumped_once("press-7").await;
    let again: Run = nova.nova(line).await;
    let words = "while it is in task_state rebooting (HTTP 409) (Request-ID: req-";
    assert!(again.stderr.contains("ERROR (Conflict): Cannot 'trigger_crash_dump'"), "{again:?}");
    assert!(again.code == Some(1) && again.stderr.contains(words), "{again:?}");
    let said = done("instance-action-list press-7").await;
    assert!(said.contains(&request_id) && said.contains("| trigger_crash_dump |"), "{said}");
    let said = done(&format!("instance-action press-7 {request_id}")).await;
    assert!(said.contains("compute_trigger_crash_dump") && said.contains("Success"), "{said}");
    assert!(done("show press-7").await.contains("| REBOOT"));
    world.broker.called("press-7", 1).await;
}

#[tokio::test]
async fn the_old_libraries_dump_after_a_login() {
    libraries_dump_after_a_login(Release::Old).await;
}

#[tokio::test]
async fn the_new_libraries_dump_after_a_login() {
    libraries_dump_after_a_login(Release::New).await;
}

/// openstacksdk and python-novaclient: `tests/python/openstack_clients.py`.
async fn libraries_dump_after_a_login(release: Release) {
    let running = ["press-1", "press-2", "press-3", "press-4", "press-5", "press-6"];
    let world = World::start(release, &running).await;
    world.broker.gridctl("appliance add press-new").await.done();
    let given: PathBuf = world.broker.gridd.path("given.json");
    let text = json!({
        "compute": world.broker.api("/v2.1"),
        "identity": world.broker.api("/v3"),
        "ca": world.broker.authority(),
        "operator": {"name": OPERATOR, "token": world.operator},
        "viewer": {"name": VIEWER, "token": world.viewer},
        "running": running,
        "idle": "press-new",
    });
    std::fs::write(&given, text.to_string()).expect("writes");
    let mut command = release.command("python");
    command.env("HOME", world.broker.gridd.folder());
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/openstack_clients.py"));
    let said = run({
        command.arg(&given);
        command
    })
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let (passed, request_ids) = said.stdout.split_once('\n').expect("two lines");
    assert_eq!(passed, "openstack clients: 55 checks passed", "{said:?}");
    let told: Value = serde_json::from_str(request_ids).expect("JSON");
    for name in running {
        assert_eq!(told[name], world.dumped_once(name).await, "{name}");
    }
}
