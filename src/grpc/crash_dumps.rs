//! Implements `CrashDumpService`: administrators trigger crash dumps and read what became of them.

use tonic::{Request, Response, Status};

use super::appliances::parse_name;
use super::{Services, principal, status};
use crate::contract::encode;
use crate::contract::proto::{
    CheckCrashDumpRequest, CheckCrashDumpResponse, ListCrashDumpsRequest, ListCrashDumpsResponse,
    TriggerCrashDumpRequest, TriggerCrashDumpResponse,
};
use crate::contract::servers::crash_dump_service_server::CrashDumpService;
use crate::crash_dump::{DumpRefusal, Requester};
use crate::grid::decide::CommandRejection;
use crate::identity::peer::Caller;

#[tonic::async_trait]
impl CrashDumpService for Services {
    async fn check_crash_dump(
        &self,
        request: Request<CheckCrashDumpRequest>,
    ) -> Result<Response<CheckCrashDumpResponse>, Status> {
        let requester = requester(&request)?;
        let name = parse_name(&request.into_inner().name)?;
        let checked = self.crash_dumps.check(&requester, &name).await;
        let problem = match &checked.problem {
            None => String::new(),
            Some(refusal @ (DumpRefusal::NotFound { .. } | DumpRefusal::Unavailable(_))) => {
                return Err(refused(refusal));
            }
            Some(
                refusal @ (DumpRefusal::Locked { .. }
                | DumpRefusal::NeverBooted { .. }
                | DumpRefusal::State { .. }
                | DumpRefusal::Unsupported { .. }
                | DumpRefusal::NotNow { .. }),
            ) => refusal.to_string(),
        };
        Ok(Response::new(CheckCrashDumpResponse {
            possible: problem.is_empty(),
            problem,
            driver: checked.driver.as_str().to_owned(),
            warnings: checked.warnings,
            readiness: checked.readiness.map(Into::into),
        }))
    }

    async fn trigger_crash_dump(
        &self,
        request: Request<TriggerCrashDumpRequest>,
    ) -> Result<Response<TriggerCrashDumpResponse>, Status> {
        let requester = requester(&request)?;
        let name = parse_name(&request.into_inner().name)?;
        let receipt = self.crash_dumps.trigger(&requester, &name).await;
        let receipt = receipt.map_err(|refusal| refused(&refusal))?;
        Ok(Response::new(TriggerCrashDumpResponse {
            request_id: encode::crash_dump::request_id(receipt.request),
            record_number: receipt.record,
            warnings: receipt.warnings,
        }))
    }

    async fn list_crash_dumps(
        &self,
        request: Request<ListCrashDumpsRequest>,
    ) -> Result<Response<ListCrashDumpsResponse>, Status> {
        principal::administrator(&request)?;
        let name = parse_name(&request.into_inner().name)?;
        let queried = name.clone();
        let found = self.broker.query(move |grid, _| {
            let appliance = grid.state().appliance(grid.state().find(&queried)?)?;
            Some(appliance.crash_dumps.iter().map(encode::crash_dump::crash_dump).collect())
        });
        match found.await.map_err(status::unavailable)? {
            Some(crash_dumps) => Ok(Response::new(ListCrashDumpsResponse { crash_dumps })),
            None => Err(status::command_rejected(&CommandRejection::NotFound { name })),
        }
    }
}

fn requester<T>(request: &Request<T>) -> Result<Requester, Status> {
    let by = principal::administrator(request)?;
    let name = match &principal::of(request)?.caller {
        Caller::Administrator { name, .. } => name.clone(),
        Caller::Appliance(_) | Caller::Stranger => by.clone(),
    };
    Ok(Requester { name, by, is_admin: principal::is_admin(request) })
}

fn refused(refusal: &DumpRefusal) -> Status {
    let reason = match refusal {
        DumpRefusal::NotFound { .. } => {
            return status::not_found("NOT_FOUND", refusal.to_string());
        }
        DumpRefusal::Unavailable(reason) => return status::unavailable(*reason),
        DumpRefusal::Locked { .. } => "LOCKED",
        DumpRefusal::NeverBooted { .. } => "NEVER_BOOTED",
        DumpRefusal::State { .. } => "STATE",
        DumpRefusal::Unsupported { .. } => "UNSUPPORTED",
        DumpRefusal::NotNow { .. } => "NOT_NOW",
    };
    status::precondition(reason, refusal.to_string())
}
