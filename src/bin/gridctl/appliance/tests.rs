//! Tests how gridctl changes appliances over a real connection to a scripted broker.

use std::sync::{Arc, Mutex};

use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use grid_broker::contract::proto::*;
use grid_broker::contract::servers::appliance_service_server::{
    ApplianceService, ApplianceServiceServer,
};
use grid_broker::exit_code::ExitCode;

use super::*;
use crate::access::BrokerAccess;
use crate::args::{self, GridctlCommand};

/// Returns `db1` and `db2`, one a page, and records the settings of each change.
#[derive(Clone, Default)]
struct ScriptedAppliances(Arc<Mutex<Vec<ApplianceSettings>>>);

fn named_appliance(name: &str) -> Appliance {
    Appliance { name: name.to_owned(), explanation: "idle".to_owned(), ..Appliance::default() }
}

type ApplianceRpcResult<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ApplianceService for ScriptedAppliances {
    async fn list_appliances(
        &self,
        request: Request<ListAppliancesRequest>,
    ) -> ApplianceRpcResult<ListAppliancesResponse> {
        let (name, next) = match request.get_ref().page_token.as_str() {
            "" => ("db1", "p2"),
            _ => ("db2", ""),
        };
        let next_page_token = next.to_owned();
        Ok(Response::new(ListAppliancesResponse {
            appliances: vec![named_appliance(name)],
            next_page_token,
        }))
    }

    async fn get_appliance(
        &self,
        _: Request<GetApplianceRequest>,
    ) -> ApplianceRpcResult<GetApplianceResponse> {
        Err(Status::not_found("no appliance is named `db3\x1b[2J`"))
    }

    type WatchAppliancesStream = tokio_stream::Empty<Result<WatchAppliancesResponse, Status>>;

    async fn watch_appliances(
        &self,
        _: Request<WatchAppliancesRequest>,
    ) -> ApplianceRpcResult<Self::WatchAppliancesStream> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn add_appliance(
        &self,
        _: Request<AddApplianceRequest>,
    ) -> ApplianceRpcResult<AddApplianceResponse> {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("name", "letters, digits, `.`, `_`, `-` and `:`");
        Err(Status::with_error_details(Code::InvalidArgument, "not added", details))
    }

    async fn set_appliance(
        &self,
        request: Request<SetApplianceRequest>,
    ) -> ApplianceRpcResult<SetApplianceResponse> {
        let request = request.into_inner();
        self.0.lock().unwrap().push(request.settings.unwrap());
        Ok(Response::new(SetApplianceResponse { appliance: Some(named_appliance(&request.name)) }))
    }

    async fn remove_appliance(
        &self,
        _: Request<RemoveApplianceRequest>,
    ) -> ApplianceRpcResult<RemoveApplianceResponse> {
        Ok(Response::new(RemoveApplianceResponse { record_number: 17 }))
    }

    async fn start_boot(
        &self,
        request: Request<StartBootRequest>,
    ) -> ApplianceRpcResult<StartBootResponse> {
        Ok(Response::new(StartBootResponse {
            appliance: Some(named_appliance(&request.get_ref().name)),
        }))
    }

    async fn stop_appliance(
        &self,
        _: Request<StopApplianceRequest>,
    ) -> ApplianceRpcResult<StopApplianceResponse> {
        Ok(Response::new(StopApplianceResponse { appliance: None }))
    }

    async fn unsuppress_appliance(
        &self,
        request: Request<UnsuppressApplianceRequest>,
    ) -> ApplianceRpcResult<UnsuppressApplianceResponse> {
        let appliance = Some(named_appliance(&request.get_ref().name));
        Ok(Response::new(UnsuppressApplianceResponse { appliance }))
    }

    async fn lock_appliance(
        &self,
        request: Request<LockApplianceRequest>,
    ) -> ApplianceRpcResult<LockApplianceResponse> {
        let LockApplianceRequest { name, reason } = request.into_inner();
        let lock = Some(ApplianceLock { by: "ann".to_owned(), reason, ..ApplianceLock::default() });
        let appliance = Some(Appliance { lock, ..named_appliance(&name) });
        Ok(Response::new(LockApplianceResponse { appliance }))
    }

    async fn unlock_appliance(
        &self,
        request: Request<UnlockApplianceRequest>,
    ) -> ApplianceRpcResult<UnlockApplianceResponse> {
        let appliance = Some(named_appliance(&request.get_ref().name));
        Ok(Response::new(UnlockApplianceResponse { appliance }))
    }
}

/// Returns what a command line prints, and its result.
async fn run_line(script: &ScriptedAppliances, line: &str) -> (String, Result<(), CliError>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tonic::transport::Server::builder()
        .add_service(ApplianceServiceServer::new(script.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    drop(grid_broker::tasks::spawn("script", server));
    let broker = Connection::connect(&BrokerAccess::plain(&address)).await.unwrap();

    let args = args::parse(line.split(' ').map(Into::into).collect()).unwrap();
    let GridctlCommand::Appliance(command) = &args.command else { panic!("not of appliances") };
    let format = args.global.format();
    let look = OutputOptions { format, ..OutputOptions::plain() };
    let mut out = Vec::new();
    let ended = run(&broker, command, &look, &mut out).await;
    (String::from_utf8(out).unwrap(), ended)
}

#[tokio::test]
async fn all_pages_make_one_list() {
    let (csv, ended) =
        run_line(&ScriptedAppliances::default(), "gridctl list appliance --output csv").await;
    ended.unwrap();
    let names: Vec<_> = csv.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(names, ["name", "db1", "db2"]);
}

#[tokio::test]
async fn only_settings_on_the_command_line_are_set() {
    let script = ScriptedAppliances::default();
    let line = "gridctl appliance set db1 --boot-timeout 15m --reset managed";
    let (shown, ended) = run_line(&script, line).await;
    ended.unwrap();
    assert!(shown.starts_with("appliance:       db1\nexplanation:     idle\n"), "{shown}");
    let expected = ApplianceSettings {
        boot_timeout_ms: Some(900_000),
        reset: vec!["managed".to_owned()],
        ..ApplianceSettings::default()
    };
    assert_eq!(*script.0.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn locks_are_shown_with_their_reasons() {
    let script = ScriptedAppliances::default();
    for (line, words) in [
        (
            "gridctl appliance lock db1 --reason move",
            "explanation:     idle\nlocked:          by ann: \"move\"\n",
        ),
        ("gridctl lock appliance db1", "\nlocked:          by ann\n"),
        ("gridctl appliance lock db1 db2", "idle [locked]\n"),
        (
            "gridctl appliance lock db1 -o json",
            r#""lock":{"by":"ann","reason":"","since":null,"by_admin":false}}"#,
        ),
        ("gridctl appliance unlock db1 -o json", r#""lock":null}"#),
    ] {
        let (shown, ended) = run_line(&script, line).await;
        ended.unwrap();
        assert!(shown.contains(words), "{line}: {shown}");
    }
}

#[tokio::test]
async fn removing_names_its_record() {
    for (line, shown) in [
        ("gridctl appliance remove db1", "db1 is removed (record 17)\n"),
        ("gridctl appliance remove db1 --output json", "{\"name\":\"db1\",\"record_number\":17}\n"),
        (
            "gridctl remove appliance db1 --batch",
            "appliance \"db1\" {\n  name = db1\n  record_number = 17\n}\n",
        ),
    ] {
        assert_eq!(run_line(&ScriptedAppliances::default(), line).await.0, shown);
    }
}

#[tokio::test]
async fn a_rejection_has_its_text_and_its_exit_code() {
    for (line, words, code) in [
        (
            "gridctl appliance add d/b",
            "not added\n  name: letters, digits, `.`, `_`, `-` and `:`",
            ExitCode::Usage,
        ),
        ("gridctl appliance show db3", r"no appliance is named `db3\x1b[2J`", ExitCode::NotFound),
        (
            "gridctl appliance stop db1",
            "the broker's reply lacks `appliance`; do gridd and gridctl have the same version?",
            ExitCode::Failed,
        ),
    ] {
        let (output, ended) = run_line(&ScriptedAppliances::default(), line).await;
        let failure = ended.unwrap_err();
        assert_eq!((failure.to_string().as_str(), failure.exit_code()), (words, code));
        assert_eq!(output, "", "{line}");
    }
}
