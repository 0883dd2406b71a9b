//! Implements `ApplianceService`: administrators and orchestrators list and control appliances.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use globset::GlobSet;
use prost::Message;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::grid_log::check_page_size;
use super::{Services, filter, page, principal, status};
use crate::broker::CommandReceipt;
use crate::contract::decode::violation;
use crate::contract::proto::{
    AddApplianceRequest, AddApplianceResponse, ApplianceFilter, ApplianceSettings, ApplianceState,
    GetApplianceRequest, GetApplianceResponse, ListAppliancesRequest, ListAppliancesResponse,
    LockApplianceRequest, LockApplianceResponse, RemoveApplianceRequest, RemoveApplianceResponse,
    SetApplianceRequest, SetApplianceResponse, StartBootRequest, StartBootResponse,
    StopApplianceRequest, StopApplianceResponse, UnlockApplianceRequest, UnlockApplianceResponse,
    UnsuppressApplianceRequest, UnsuppressApplianceResponse, Violation, WatchAppliancesRequest,
    WatchAppliancesResponse,
};
use crate::contract::servers::appliance_service_server::ApplianceService;
use crate::contract::{encode, proto};
use crate::grid::Grid;
use crate::grid::decide::CommandRejection;
use crate::grid::log::command::{AdminCommand, OverrideReset};
use crate::grid::model::crash_dump::LOCK_REASON_BYTES_MAX;
use crate::grid::model::settings::{Overrides, REPORT_DEADLINE_RANGE};
use crate::grid::state::appliance::Appliance;
use crate::grid::values::id;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};
use crate::grid::values::time::{Timestamp, describe_duration};
use crate::grpc::appliance_watch;
use crate::identity::peer::Caller;

/// Most appliances examined for one page, so that a query never blocks the loop for long.
pub(super) const ROWS_PER_QUERY: usize = 4_096;

#[tonic::async_trait]
impl ApplianceService for Services {
    async fn list_appliances(
        &self,
        request: Request<ListAppliancesRequest>,
    ) -> Result<Response<ListAppliancesResponse>, Status> {
        principal::administrator(&request)?;
        let request = request.into_inner();
        let wanted = ApplianceMatcher::new(request.filter)?;
        let size = check_page_size(request.page_size)?;
        let from = match request.page_token.as_str() {
            "" => 1,
            token => token.parse().map_err(|_| {
                status::invalid_field("page_token", "is not the token of an earlier page")
            })?,
        };
        let (appliances, next) = self
            .broker
            .query(move |grid, now| list_page(grid, &wanted, ApplianceIndex(from), size, now))
            .await
            .map_err(status::unavailable)?;
        let next_page_token = next.map_or_else(String::new, |next| next.0.to_string());
        Ok(Response::new(ListAppliancesResponse { appliances, next_page_token }))
    }

    async fn get_appliance(
        &self,
        request: Request<GetApplianceRequest>,
    ) -> Result<Response<GetApplianceResponse>, Status> {
        let caller = principal::of(&request)?.clone();
        let name = parse_name(&request.into_inner().name)?;
        // An appliance reads nothing but its own state.
        if matches!(&caller.caller, Caller::Appliance(own) if *own != name) {
            return Err(self.forbidden(&caller, "GetAppliance of another appliance"));
        }
        let queried = name.clone();
        let found = self.broker.query(move |grid, now| {
            let number = grid.state().find(&queried)?;
            let appliance = grid.state().appliance(number)?;
            Some(encode::appliance(grid, appliance, now))
        });
        let appliance = found.await.map_err(status::unavailable)?;
        if appliance.is_none() {
            let rejection = CommandRejection::NotFound { name };
            return Err(status::command_rejected(&rejection));
        }
        Ok(Response::new(GetApplianceResponse { appliance }))
    }

    type WatchAppliancesStream =
        Pin<Box<dyn Stream<Item = Result<WatchAppliancesResponse, Status>> + Send>>;

    async fn watch_appliances(
        &self,
        request: Request<WatchAppliancesRequest>,
    ) -> Result<Response<Self::WatchAppliancesStream>, Status> {
        principal::administrator(&request)?;
        let wanted = ApplianceMatcher::new(request.into_inner().filter)?;
        Ok(Response::new(Box::pin(appliance_watch::open(self.clone(), wanted))))
    }

    async fn add_appliance(
        &self,
        request: Request<AddApplianceRequest>,
    ) -> Result<Response<AddApplianceResponse>, Status> {
        let by = principal::administrator(&request)?;
        let request = request.into_inner();
        let (class, overrides, reset) = check_settings(request.settings)?;
        if reset != OverrideReset::default() {
            let text = "a new appliance has no overrides to reset";
            return Err(status::invalid_field("settings.reset", text));
        }
        let (name, uuid) = (parse_new_name(&request.name)?, Uuid::new_v4());
        let ordered =
            self.send_command(&by, AdminCommand::Add { name, uuid, class, overrides }).await?;
        let appliance = self.appliance_view(ordered.appliance).await?;
        Ok(Response::new(AddApplianceResponse { appliance }))
    }

    async fn set_appliance(
        &self,
        request: Request<SetApplianceRequest>,
    ) -> Result<Response<SetApplianceResponse>, Status> {
        let by = principal::administrator(&request)?;
        let request = request.into_inner();
        let (class, overrides, reset) = check_settings(request.settings)?;
        if class.is_none() && overrides == Overrides::default() && reset == OverrideReset::default()
        {
            let text = "is empty; class, managed, boot_timeout_ms, maintenance_silence_ms or \
                        reset is needed";
            return Err(status::invalid_field("settings", text));
        }
        let name = parse_name(&request.name)?;
        let ordered =
            self.send_command(&by, AdminCommand::Set { name, class, overrides, reset }).await?;
        let appliance = self.appliance_view(ordered.appliance).await?;
        Ok(Response::new(SetApplianceResponse { appliance }))
    }

    async fn remove_appliance(
        &self,
        request: Request<RemoveApplianceRequest>,
    ) -> Result<Response<RemoveApplianceResponse>, Status> {
        let by = principal::administrator(&request)?;
        let name = parse_name(&request.into_inner().name)?;
        let ordered = self.send_command(&by, AdminCommand::Remove { name }).await?;
        Ok(Response::new(RemoveApplianceResponse { record_number: ordered.record }))
    }

    async fn start_boot(
        &self,
        request: Request<StartBootRequest>,
    ) -> Result<Response<StartBootResponse>, Status> {
        let by = principal::administrator(&request)?;
        let name = parse_name(&request.into_inner().name)?;
        let ordered = self.send_command(&by, AdminCommand::StartBoot { name }).await?;
        let appliance = self.appliance_view(ordered.appliance).await?;
        Ok(Response::new(StartBootResponse { appliance }))
    }

    async fn stop_appliance(
        &self,
        request: Request<StopApplianceRequest>,
    ) -> Result<Response<StopApplianceResponse>, Status> {
        let by = principal::administrator(&request)?;
        let name = parse_name(&request.into_inner().name)?;
        let ordered = self.send_command(&by, AdminCommand::Stop { name }).await?;
        let appliance = self.appliance_view(ordered.appliance).await?;
        Ok(Response::new(StopApplianceResponse { appliance }))
    }

    async fn unsuppress_appliance(
        &self,
        request: Request<UnsuppressApplianceRequest>,
    ) -> Result<Response<UnsuppressApplianceResponse>, Status> {
        let by = principal::administrator(&request)?;
        let name = parse_name(&request.into_inner().name)?;
        let ordered = self.send_command(&by, AdminCommand::Unsuppress { name }).await?;
        let appliance = self.appliance_view(ordered.appliance).await?;
        Ok(Response::new(UnsuppressApplianceResponse { appliance }))
    }

    async fn lock_appliance(
        &self,
        request: Request<LockApplianceRequest>,
    ) -> Result<Response<LockApplianceResponse>, Status> {
        let (by, is_by_admin) =
            (principal::administrator(&request)?, principal::is_admin(&request));
        let request = request.into_inner();
        if request.reason.len() > LOCK_REASON_BYTES_MAX {
            let length = request.reason.len();
            let text = format!("takes {length} bytes; at most {LOCK_REASON_BYTES_MAX} are allowed");
            return Err(status::invalid_field("reason", text));
        }
        let (name, reason) = (parse_name(&request.name)?, request.reason.into());
        let ordered =
            self.send_command(&by, AdminCommand::Lock { name, reason, is_by_admin }).await?;
        let appliance = self.appliance_view(ordered.appliance).await?;
        Ok(Response::new(LockApplianceResponse { appliance }))
    }

    async fn unlock_appliance(
        &self,
        request: Request<UnlockApplianceRequest>,
    ) -> Result<Response<UnlockApplianceResponse>, Status> {
        let (by, is_by_admin) =
            (principal::administrator(&request)?, principal::is_admin(&request));
        let name = parse_name(&request.into_inner().name)?;
        let ordered = self.send_command(&by, AdminCommand::Unlock { name, is_by_admin }).await?;
        let appliance = self.appliance_view(ordered.appliance).await?;
        Ok(Response::new(UnlockApplianceResponse { appliance }))
    }
}

impl Services {
    async fn send_command(
        &self,
        by: &str,
        command: AdminCommand,
    ) -> Result<CommandReceipt, Status> {
        let answer = self.broker.command(by, command).await.map_err(status::unavailable)?;
        answer.map_err(|rejection| status::command_rejected(&rejection))
    }

    async fn appliance_view(
        &self,
        number: ApplianceIndex,
    ) -> Result<Option<proto::Appliance>, Status> {
        let view = self.broker.query(move |grid, now| {
            let appliance = grid.state().appliance(number)?;
            Some(encode::appliance(grid, appliance, now))
        });
        view.await.map_err(status::unavailable)
    }
}

/// A validated filter of appliances.
#[derive(Clone)]
pub(super) struct ApplianceMatcher {
    names: Option<GlobSet>,
    states: BTreeSet<i32>,
    only_suppressed: bool,
    classes: Option<GlobSet>,
}

impl ApplianceMatcher {
    pub(super) fn new(filter: Option<ApplianceFilter>) -> Result<Self, Status> {
        let filter = filter.unwrap_or_default();
        let mut violations = Vec::new();
        let names = filter::patterns("filter.names", &filter.names, &mut violations);
        let classes = filter::patterns("filter.classes", &filter.classes, &mut violations);
        for (state, at) in filter.states.iter().zip(0..) {
            match ApplianceState::try_from(*state) {
                Ok(ApplianceState::Unspecified) | Err(_) => {
                    let field = format!("filter.states[{at}]");
                    violations.push(violation(&field, "is not an appliance state"));
                }
                Ok(_) => {}
            }
        }
        if violations.is_empty() {
            let states = filter.states.into_iter().collect();
            Ok(Self { names, states, only_suppressed: filter.suppressed, classes })
        } else {
            Err(status::invalid(violations))
        }
    }

    pub(super) fn matches_name(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.is_match(name))
    }

    pub(super) fn matches(&self, appliance: &Appliance) -> bool {
        let state = i32::from(encode::state(&appliance.lifecycle));
        let has_state = self.states.is_empty() || self.states.contains(&state);
        let is_suppressed = !self.only_suppressed || appliance.usage.suppression.is_some();
        let is_of_class = self.classes.as_ref().is_none_or(|it| it.is_match(&*appliance.class));
        has_state && is_suppressed && is_of_class && self.matches_name(appliance.name.as_str())
    }

    /// The same for one that is encoded already.
    pub(super) fn matches_shown(&self, appliance: &proto::Appliance) -> bool {
        let has_state = self.states.is_empty() || self.states.contains(&appliance.state);
        let is_suppressed = !self.only_suppressed || appliance.suppression.is_some();
        let is_of_class = self.classes.as_ref().is_none_or(|it| it.is_match(&appliance.class));
        has_state && is_suppressed && is_of_class && self.matches_name(&appliance.name)
    }
}

pub(super) type AppliancePage = (Vec<proto::Appliance>, Option<ApplianceIndex>);

pub(super) fn list_page(
    grid: &Grid,
    wanted: &ApplianceMatcher,
    from: ApplianceIndex,
    size: usize,
    now: Timestamp,
) -> AppliancePage {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for (appliance, examined) in grid.state().appliances_from(from).zip(0..) {
        let is_full = found.len() == size || bytes >= page::ENCODED_BYTES_MAX;
        if is_full || examined == ROWS_PER_QUERY {
            return (found, Some(appliance.number));
        }
        if wanted.matches(appliance) {
            let shown = encode::appliance(grid, appliance, now);
            bytes += shown.encoded_len();
            found.push(shown);
        }
    }
    (found, None)
}

/// The name of an existing appliance; names of older releases are valid.
pub(super) fn parse_name(name: &str) -> Result<ApplianceName, Status> {
    ApplianceName::from_stored(name)
        .map_err(|error| status::invalid_field("name", error.to_string()))
}

/// The name of a new appliance.
fn parse_new_name(name: &str) -> Result<ApplianceName, Status> {
    ApplianceName::new(name).map_err(|error| status::invalid_field("name", error.to_string()))
}

type CheckedSettings = (Option<Box<str>>, Overrides, OverrideReset);

fn check_settings(settings: Option<ApplianceSettings>) -> Result<CheckedSettings, Status> {
    let settings = settings.unwrap_or_default();
    let mut violations = Vec::new();
    let overrides = Overrides {
        managed: settings.managed,
        boot_timeout: check_limit("boot_timeout_ms", settings.boot_timeout_ms, &mut violations),
        report_deadline: check_limit(
            "maintenance_silence_ms",
            settings.maintenance_silence_ms,
            &mut violations,
        ),
    };
    if settings.class.as_deref().is_some_and(|class| !id::is_valid_name(class)) {
        violations.push(violation("settings.class", id::InvalidName.to_string()));
    }
    let mut reset = OverrideReset::default();
    for (field, at) in settings.reset.iter().zip(0..) {
        match field.as_str() {
            "managed" => reset.managed = true,
            "boot_timeout" => reset.boot_timeout = true,
            "maintenance_silence" => reset.maintenance_silence = true,
            _ => {
                let text = "managed, boot_timeout or maintenance_silence is allowed";
                violations.push(violation(&format!("settings.reset[{at}]"), text));
            }
        }
    }
    if violations.is_empty() {
        Ok((settings.class.map(Into::into), overrides, reset))
    } else {
        Err(status::invalid(violations))
    }
}

fn check_limit(
    field: &str,
    millis: Option<u64>,
    violations: &mut Vec<Violation>,
) -> Option<Duration> {
    let limit = Duration::from_millis(millis?);
    if REPORT_DEADLINE_RANGE.contains(&limit) {
        return Some(limit);
    }
    let text = format!("is {}; 1 s to 12 h are allowed", describe_duration(limit));
    violations.push(violation(&format!("settings.{field}"), text));
    None
}
