//! A scripted broker with one appliance, `shop:main.db1`, for tests of crash dumps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use grid_broker::contract::proto::*;
use grid_broker::contract::servers::appliance_service_server::{
    ApplianceService, ApplianceServiceServer,
};
use grid_broker::contract::servers::crash_dump_service_server::{
    CrashDumpService, CrashDumpServiceServer,
};

use crate::access::BrokerAccess;
use crate::connection::Connection;

/// The full name of the appliance.
pub(super) const NAME: &str = "shop:main.db1";

/// What the broker says and was told.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) appliance: Appliance,
    pub(super) check: CheckCrashDumpResponse,
    /// Why a trigger fails.
    pub(super) refusal: Option<Status>,
    /// The replies to lists; the last one repeats.
    pub(super) lists: Mutex<VecDeque<Result<Vec<CrashDump>, Status>>>,
    /// The names of triggered appliances.
    pub(super) triggered: Mutex<Vec<String>>,
}

impl Script {
    /// A running appliance whose driver is qemu.
    pub(super) fn possible() -> Self {
        let appliance = Appliance {
            name: NAME.to_owned(),
            state: ApplianceState::Running as i32,
            state_since: Some(prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 }),
            ..Appliance::default()
        };
        let check = CheckCrashDumpResponse {
            possible: true,
            driver: "qemu".to_owned(),
            warnings: vec!["no crash kernel\x1b[2J".to_owned()],
            ..CheckCrashDumpResponse::default()
        };
        Self { appliance, check, ..Self::default() }
    }

    /// The same with these replies to lists.
    pub(super) fn listing(lists: impl IntoIterator<Item = Result<Vec<CrashDump>, Status>>) -> Self {
        Self { lists: Mutex::new(lists.into_iter().collect()), ..Self::possible() }
    }

    /// A connection to a broker that follows the script.
    pub(super) async fn serve(self: &Arc<Self>) -> Connection {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder()
            .add_service(ApplianceServiceServer::new(Scripted(Arc::clone(self))))
            .add_service(CrashDumpServiceServer::new(Scripted(Arc::clone(self))))
            .serve_with_incoming(TcpListenerStream::new(listener));
        drop(grid_broker::tasks::spawn("script", server));
        Connection::connect(&BrokerAccess::plain(&address)).await.unwrap()
    }
}

struct Scripted(Arc<Script>);

type RpcResult<T> = Result<Response<T>, Status>;

fn known(name: &str) -> Result<(), Status> {
    match name {
        NAME => Ok(()),
        _ => Err(Status::not_found(format!("there is no appliance {name}"))),
    }
}

#[tonic::async_trait]
impl CrashDumpService for Scripted {
    async fn check_crash_dump(
        &self,
        request: Request<CheckCrashDumpRequest>,
    ) -> RpcResult<CheckCrashDumpResponse> {
        known(&request.get_ref().name)?;
        Ok(Response::new(self.0.check.clone()))
    }

    async fn trigger_crash_dump(
        &self,
        request: Request<TriggerCrashDumpRequest>,
    ) -> RpcResult<TriggerCrashDumpResponse> {
        let name = request.into_inner().name;
        known(&name)?;
        if let Some(refusal) = &self.0.refusal {
            return Err(refusal.clone());
        }
        self.0.triggered.lock().unwrap().push(name);
        let (request_id, warnings) = ("req-5f0c".to_owned(), self.0.check.warnings.clone());
        Ok(Response::new(TriggerCrashDumpResponse { request_id, record_number: 17, warnings }))
    }

    async fn list_crash_dumps(
        &self,
        request: Request<ListCrashDumpsRequest>,
    ) -> RpcResult<ListCrashDumpsResponse> {
        known(&request.get_ref().name)?;
        let mut lists = self.0.lists.lock().unwrap();
        let next = match lists.len() {
            0 => Ok(Vec::new()),
            1 => lists[0].clone(),
            _ => lists.pop_front().unwrap(),
        };
        Ok(Response::new(ListCrashDumpsResponse { crash_dumps: next? }))
    }
}

fn not_scripted<T>() -> RpcResult<T> {
    Err(Status::unimplemented("not asked for"))
}

#[tonic::async_trait]
impl ApplianceService for Scripted {
    async fn list_appliances(
        &self,
        request: Request<ListAppliancesRequest>,
    ) -> RpcResult<ListAppliancesResponse> {
        let names = request.into_inner().filter.unwrap_or_default().names;
        let is_meant = |pattern: &String| NAME.ends_with(pattern.trim_start_matches('*'));
        let is_meant = names.iter().any(is_meant);
        let appliances = is_meant.then(|| self.0.appliance.clone()).into_iter().collect();
        Ok(Response::new(ListAppliancesResponse { appliances, next_page_token: String::new() }))
    }

    async fn get_appliance(
        &self,
        request: Request<GetApplianceRequest>,
    ) -> RpcResult<GetApplianceResponse> {
        known(&request.get_ref().name)?;
        Ok(Response::new(GetApplianceResponse { appliance: Some(self.0.appliance.clone()) }))
    }

    type WatchAppliancesStream = tokio_stream::Empty<Result<WatchAppliancesResponse, Status>>;

    async fn watch_appliances(
        &self,
        _: Request<WatchAppliancesRequest>,
    ) -> RpcResult<Self::WatchAppliancesStream> {
        not_scripted()
    }

    async fn add_appliance(
        &self,
        _: Request<AddApplianceRequest>,
    ) -> RpcResult<AddApplianceResponse> {
        not_scripted()
    }

    async fn set_appliance(
        &self,
        _: Request<SetApplianceRequest>,
    ) -> RpcResult<SetApplianceResponse> {
        not_scripted()
    }

    async fn remove_appliance(
        &self,
        _: Request<RemoveApplianceRequest>,
    ) -> RpcResult<RemoveApplianceResponse> {
        not_scripted()
    }

    async fn start_boot(&self, _: Request<StartBootRequest>) -> RpcResult<StartBootResponse> {
        not_scripted()
    }

    async fn stop_appliance(
        &self,
        _: Request<StopApplianceRequest>,
    ) -> RpcResult<StopApplianceResponse> {
        not_scripted()
    }

    async fn unsuppress_appliance(
        &self,
        _: Request<UnsuppressApplianceRequest>,
    ) -> RpcResult<UnsuppressApplianceResponse> {
        not_scripted()
    }

    async fn lock_appliance(
        &self,
        _: Request<LockApplianceRequest>,
    ) -> RpcResult<LockApplianceResponse> {
        not_scripted()
    }

    async fn unlock_appliance(
        &self,
        _: Request<UnlockApplianceRequest>,
    ) -> RpcResult<UnlockApplianceResponse> {
        not_scripted()
    }
}
