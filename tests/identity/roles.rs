//! Who may do what: each method and each page for each kind of credential.

use std::collections::BTreeSet;

use grid_broker::client::{BrokerChannel, ClientCredential, TokenText};
use grid_broker::contract::proto;
use grid_broker::grid::values::identity::Role;
use grid_broker::identity::peer::Caller;
use grid_broker::identity::roles::{self, Access};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::{Code, Request, Status};

use crate::broker::{Broker, reason};
use crate::support::{Run, clean, run, soon};

/// The methods of the contract, as the descriptors that reflection serves list them: all, or those that
/// reply by a stream.
fn contract_methods(only_streams: bool) -> BTreeSet<(String, String)> {
    let files = [
        grid_broker::contract::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    ];
    let mut methods = BTreeSet::new();
    for bytes in files {
        let set = prost_types::FileDescriptorSet::decode(bytes).expect("descriptors");
        for file in set.file {
            for service in &file.service {
                let wanted = |method: &&prost_types::MethodDescriptorProto| {
                    !only_streams || method.server_streaming()
                };
                for method in service.method.iter().filter(wanted) {
                    let service = match file.package() {
                        "grid.events.v1" => service.name().to_owned(),
                        package => format!("{package}.{}", service.name()),
                    };
                    methods.insert((service, method.name().to_owned()));
                }
            }
        }
    }
    methods
}

#[test]
fn all_streams_of_the_contract_are_known_as_such() {
    let listed = roles::STREAMS.iter().map(|(of, name)| ((*of).to_owned(), (*name).to_owned()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), contract_methods(true));
}

#[test]
fn each_method_of_the_contract_has_one_row_and_no_other_has() {
    let listed: Vec<_> = roles::METHODS
        .iter()
        .map(|(service, method, _)| ((*service).to_owned(), (*method).to_owned()))
        .collect();
    let unique: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(unique.len(), listed.len(), "a method has one row");
    let contract = contract_methods(false);
    let [missing, unknown] = [(&contract, &unique), (&unique, &contract)]
        .map(|(these, those)| these.difference(those).collect::<Vec<_>>());
    assert!(missing.is_empty(), "methods without a row: {missing:?}");
    assert!(unknown.is_empty(), "rows without a method: {unknown:?}");
    for (service, method, access) in roles::METHODS {
        // What changes something is not for viewers, and nobody reads without a credential.
        let is_reading =
            ["List", "Get", "Watch", "Tail", "Export", "Count", "Check", "Explain", "WhoAmI"]
                .iter()
                .any(|it| method.starts_with(it));
        let is_of_standard = service.starts_with("grpc.");
        if !is_reading && !is_of_standard {
            assert_ne!(*access, Access::Role(Role::Viewer), "{service}.{method}");
        }
        let is_for_strangers = is_of_standard || ["Enrol", "Renew"].contains(method);
        assert!(is_for_strangers || *access != Access::Anyone, "{service}.{method}");
    }
}

/// Calls a method with an empty message, and gives its status. Streams are opened and dropped.
async fn call(channel: &BrokerChannel, service: &str, method: &str) -> Result<(), Status> {
    let service = if service.contains('.') {
        service.to_owned()
    } else {
        format!("grid.events.v1.{service}")
    };
    let path = PathAndQuery::try_from(format!("/{service}/{method}")).expect("a path");
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let reply = client.server_streaming(Request::new(()), path, codec).await?;
    let mut messages = reply.into_inner();
    match tokio::time::timeout(std::time::Duration::from_millis(200), messages.message()).await {
        Ok(Err(status)) => Err(status),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// Whether the layer has refused the call: by its own reasons.
fn refusal(result: &Result<(), Status>) -> Option<&'static str> {
    let status = result.as_ref().err()?;
    match (status.code(), reason(status).as_str()) {
        (Code::Unauthenticated, "NO_CREDENTIAL") => Some("NO_CREDENTIAL"),
        (Code::PermissionDenied, "ROLE") => Some("ROLE"),
        (_, "UNLISTED") => Some("UNLISTED"),
        (_, _) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cell_of_the_table_holds_over_grpc() {
    let broker = Broker::plain().await;
    let token = ClientCredential::Token;
    let administrator = |name: &str, role| Caller::Administrator { name: name.into(), role };
    let name = grid_broker::grid::values::id::ApplianceName::new("db1").expect("a name");
    let callers = [
        (ClientCredential::None, Caller::Stranger),
        (token(broker.appliance("db1").await), Caller::Appliance(name)),
        (
            token(broker.administrator("vera", proto::Role::Viewer).await),
            administrator("vera", Role::Viewer),
        ),
        (
            token(broker.administrator("otto", proto::Role::Operator).await),
            administrator("otto", Role::Operator),
        ),
        (token(broker.admin.clone()), administrator("admin", Role::Admin)),
    ];
    for (credential, caller) in callers {
        let channel = broker.channel(credential).await;
        for (service, method, access) in roles::METHODS {
            let result = soon(method, call(&channel, service, method)).await;
            let refused = refusal(&result);
            let expected = match (&caller, access.permits(&caller)) {
                (_, true) => None,
                (Caller::Stranger, false) => Some("NO_CREDENTIAL"),
                (Caller::Appliance(_) | Caller::Administrator { .. }, false) => Some("ROLE"),
            };
            // An appliance asks for itself; the empty name is not valid.
            assert_eq!(refused, expected, "{caller}: {service}.{method}: {result:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_in_the_table_is_unimplemented() {
    let broker = Broker::plain().await;
    let channel = broker.channel(ClientCredential::Token(broker.admin.clone())).await;
    for (service, method) in [("x.Service", "Call"), ("MailService", "Everything")] {
        let unknown = call(&channel, service, method).await.expect_err("there is none");
        assert_eq!(unknown.code(), Code::Unimplemented, "{unknown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_a_report_or_makes_a_backup_is_in_the_grid_log() {
    let broker = Broker::plain().await;
    let channel = broker.channel(ClientCredential::Token(broker.admin.clone())).await;
    let mut service = proto::broker_service_client::BrokerServiceClient::new(channel.clone());
    service.get_report(proto::GetReportRequest::default()).await.expect("a report");
    broker.security_record(&["admin (admin) from 127.", "Guru Meditation Report"]).await;
    call(&channel, "JournalService", "BackUp").await.expect("a backup");
    broker.security_record(&["admin (admin) from 127.", "backup"]).await;
}

/// A page by curl, as scripts get it.
async fn page(broker: &Broker, path: &str, token: Option<&TokenText>) -> (String, String) {
    let mut command = clean("/usr/bin/curl");
    command.args(["-s", "-o", "-", "-w", "\n%{http_code}"]);
    if let Some(token) = token {
        command.arg("-H").arg(format!("Authorization: Bearer {}", token.expose()));
    }
    command.arg(format!("http://{}{path}", broker.gridd.http));
    let Run { stdout, .. } = run(command).await;
    let (text, code) = stdout.rsplit_once('\n').expect("a code");
    (code.to_owned(), text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cell_of_the_table_holds_for_pages() {
    let broker = Broker::plain().await;
    let tokens = [
        None,
        Some(broker.appliance("db1").await),
        Some(broker.administrator("vera", proto::Role::Viewer).await),
        Some(broker.administrator("otto", proto::Role::Operator).await),
        Some(broker.admin.clone()),
    ];
    for (method, path, access) in roles::PAGES {
        // The one that changes something has tests of its own.
        if (*method, *path) == ("POST", "/ack/{token}") {
            continue;
        }
        assert_eq!(*method, "GET");
        // Without links of mails, and for no valid token, that page is not there.
        let is_link = path.contains("{token}");
        let expected = if *access == Access::Anyone {
            [if is_link { "404" } else { "200" }; 5]
        } else {
            assert_eq!(*access, Access::Role(Role::Viewer), "a new kind of access of {path}");
            ["401", "403", "200", "200", "200"]
        };
        for (token, expected) in tokens.iter().zip(expected) {
            let (code, text) = page(&broker, path, token.as_ref()).await;
            assert_eq!(code, expected, "{path} with {token:?}: {text}");
        }
    }
    let (code, text) = page(&broker, "/metrics", None).await;
    assert_eq!(code, "401");
    assert!(text.starts_with("no credential: this needs an administrator"), "{text}");
    let (code, _) = page(&broker, "/secret", Some(&broker.admin)).await;
    assert_eq!(code, "404");
}

/// The status of an operation of OpenStack's API, by curl.
async fn operation(broker: &Broker, (method, path): (&str, &str), token: Option<&str>) -> String {
    let mut command = clean("/usr/bin/curl");
    command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method]);
    command.args(["-H", "OpenStack-API-Version: compute 2.84"]);
    if method == "POST" {
        command.args(["-d", "{}", "-H", "Content-Type: application/json"]);
    }
    if let Some(token) = token {
        command.arg("-H").arg(format!("X-Auth-Token: {token}"));
    }
    command.arg(format!("http://{}{path}", broker.gridd.http));
    run(command).await.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cell_of_the_table_holds_for_openstack() {
    let broker = Broker::plain().await;
    let tokens = [
        None,
        Some(broker.appliance("db1").await),
        Some(broker.administrator("vera", proto::Role::Viewer).await),
        Some(broker.administrator("otto", proto::Role::Operator).await),
        Some(broker.admin.clone()),
    ];
    for (method, row, access) in roles::OPENSTACK {
        let path = row.replace(['{', '}'], "");
        for (token, at) in tokens.iter().zip(0..) {
            let token = token.as_ref().map(TokenText::expose);
            let code = operation(&broker, (method, &path), token).await;
            // Appliances are strangers here; a login that has nothing is no refusal.
            let is_refused = *access != Access::Anyone && at < 2;
            assert_ne!(*access, Access::Authenticated, "a new kind of access of {path}");
            assert_eq!(code == "401", is_refused, "{method} {path}, caller {at}: {code}");
            assert!(!["403", "405", "500", "503"].contains(&code.as_str()), "{path}: {code}");
        }
    }
    for (method, path) in [("GET", "/v2.1/secret"), ("DELETE", "/v2.1/servers/x"), ("GET", "/v3/x")]
    {
        for (token, expected) in [(None, "401"), (Some(broker.admin.expose()), "404")] {
            assert_eq!(operation(&broker, (method, path), token).await, expected, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_speaks_for_itself_only() {
    let broker = Broker::plain().await;
    let token = broker.appliance("db1").await;
    broker.add_appliance("db2").await;
    let channel = broker.channel(ClientCredential::Token(token)).await;
    let mut appliances =
        proto::appliance_service_client::ApplianceServiceClient::new(channel.clone());
    let of = |name: &str| proto::GetApplianceRequest { name: name.to_owned() };
    appliances.get_appliance(of("db1")).await.expect("its own state");
    let other = appliances.get_appliance(of("db2")).await.expect_err("another's");
    assert_eq!((other.code(), reason(&other).as_str()), (Code::PermissionDenied, "ROLE"));
    let mut events = proto::event_service_client::EventServiceClient::new(channel);
    let mut request = Request::new(proto::ReportRequest::default());
    request.metadata_mut().insert("grid-appliance", "db2".parse().expect("a value"));
    let other = events.report(request).await.expect_err("another's name");
    assert_eq!((other.code(), reason(&other).as_str()), (Code::PermissionDenied, "OTHER_NAME"));
    assert_eq!(other.message(), "the credential is of appliance db1, and not of appliance `db2`");
    broker.security_record(&["Report of token", "not of appliance `db2`"]).await;
}
