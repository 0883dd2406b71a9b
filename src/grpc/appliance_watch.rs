//! Streams all matching appliances, then each that changes.
//!
//! Guarantees that a client that stores the messages by name has the current list after each round:
//! what was removed or no longer matches is sent once, however far the client lagged behind. Decides
//! nothing.

use std::collections::BTreeSet;

use tokio::sync::broadcast::error::RecvError;
use tokio_stream::Stream;
use tonic::Status;

use super::Services;
use super::appliance_changes::{APPLIANCES_PER_QUERY, ApplianceUpdate, ChangedAppliance};
use super::appliances::{ApplianceMatcher, list_page};
use crate::contract::proto::WatchAppliancesResponse;
use crate::contract::{encode, proto};
use crate::grid::Grid;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};
use crate::grid::values::time::Timestamp;
use crate::grpc::panic_guard;
use crate::grpc::stream_sender::{StreamEnd, StreamSender};

/// Opens a watch.
pub(super) fn open(
    services: Services,
    wanted: ApplianceMatcher,
) -> impl Stream<Item = Result<WatchAppliancesResponse, Status>> + Send + use<> {
    let (sender, stream) = StreamSender::new(services.stopping.clone());
    panic_guard::spawn_stream("watch appliances", sender.error_sender(), async move {
        let mut watch =
            ApplianceWatch { services, matcher: wanted, sender, sent_names: BTreeSet::new() };
        let result = watch.run().await;
        watch.sender.finish(result).await;
    });
    stream
}

struct ApplianceWatch {
    services: Services,
    matcher: ApplianceMatcher,
    sender: StreamSender<WatchAppliancesResponse>,
    /// What this client has: names last sent as matching. At most those that match, and those removed
    /// since the last round.
    sent_names: BTreeSet<ApplianceName>,
}

/// The current appliance of a name.
enum WatchedState {
    Matching(proto::Appliance),
    NotMatching(proto::Appliance),
    Removed,
}

impl ApplianceWatch {
    async fn run(&mut self) -> Result<(), StreamEnd> {
        let mut updates = self.services.appliance_changes.subscribe(&self.services);
        self.send_all().await?;
        self.send(None, false, true).await?;
        loop {
            let update = tokio::select! {
                update = updates.recv() => update,
                end = self.sender.closed() => return Err(end),
            };
            match update {
                Ok(ApplianceUpdate::Changed(appliances)) => self.send_changed(&appliances).await?,
                Ok(ApplianceUpdate::All) | Err(RecvError::Lagged(_)) => self.send_all().await?,
                Err(RecvError::Closed) => return Err(self.collector_ended().await),
            }
        }
    }

    /// Why there are no more changes: the broker ended, or the task that collects them panicked.
    async fn collector_ended(&self) -> StreamEnd {
        if let Err(end) = self.sender.ensure_open() {
            return end;
        }
        let text = "the task that collects changes of appliances ended: bug in gridd";
        self.query(|_, _| ()).await.err().unwrap_or_else(|| Status::internal(text).into())
    }

    /// Sends all that match, then updates of names that the client has and that did not match.
    async fn send_all(&mut self) -> Result<(), StreamEnd> {
        let mut unmatched = self.sent_names.clone();
        let mut from = Some(ApplianceIndex(1));
        while let Some(first) = from {
            self.sender.ensure_open()?;
            let wanted = self.matcher.clone();
            let query =
                move |grid: &Grid, now| list_page(grid, &wanted, first, APPLIANCES_PER_QUERY, now);
            let (appliances, next) = self.query(query).await?;
            for appliance in appliances {
                let name = ApplianceName::from_stored(&appliance.name).ok();
                self.send(Some(appliance), false, false).await?;
                if let Some(name) = name {
                    unmatched.remove(&name);
                    self.sent_names.insert(name);
                }
            }
            from = next;
        }
        while !unmatched.is_empty() {
            let names = take_names(&mut unmatched, APPLIANCES_PER_QUERY);
            self.send_names(names).await?;
        }
        Ok(())
    }

    async fn send_changed(&mut self, appliances: &[ChangedAppliance]) -> Result<(), StreamEnd> {
        for ChangedAppliance { name, current } in appliances {
            if !self.matcher.matches_name(name.as_str()) {
                continue;
            }
            let state = match current {
                Some(appliance) if self.matcher.matches_shown(appliance) => {
                    WatchedState::Matching(appliance.clone())
                }
                // What the client does not have it need not be told.
                Some(_) | None if !self.sent_names.contains(name) => continue,
                Some(appliance) => WatchedState::NotMatching(appliance.clone()),
                None => WatchedState::Removed,
            };
            self.send_state(state, name.clone()).await?;
        }
        Ok(())
    }

    /// Sends the current appliances of these names, as far as the client needs them: a removed appliance
    /// may have been added again under its name.
    async fn send_names(&mut self, names: Vec<ApplianceName>) -> Result<(), StreamEnd> {
        self.sender.ensure_open()?;
        let wanted = self.matcher.clone();
        let query = move |grid: &Grid, now| {
            let state = |name: ApplianceName| (watched_state(grid, &wanted, &name, now), name);
            names.into_iter().map(state).collect::<Vec<_>>()
        };
        for (state, name) in self.query(query).await? {
            self.send_state(state, name).await?;
        }
        Ok(())
    }

    async fn send_state(
        &mut self,
        state: WatchedState,
        name: ApplianceName,
    ) -> Result<(), StreamEnd> {
        match state {
            WatchedState::Matching(appliance) => {
                self.send(Some(appliance), false, false).await?;
                self.sent_names.insert(name);
            }
            WatchedState::NotMatching(appliance) if self.sent_names.remove(&name) => {
                self.send(Some(appliance), false, false).await?;
            }
            WatchedState::Removed if self.sent_names.remove(&name) => {
                let name = name.to_string();
                let appliance = proto::Appliance { name, ..Default::default() };
                self.send(Some(appliance), true, false).await?;
            }
            WatchedState::NotMatching(_) | WatchedState::Removed => {}
        }
        Ok(())
    }

    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Grid, Timestamp) -> T + Send + 'static,
    ) -> Result<T, StreamEnd> {
        let result = self.services.broker.query(query).await;
        result.map_err(|reason| StreamEnd::Failed(super::status::unavailable(reason)))
    }

    async fn send(
        &mut self,
        appliance: Option<proto::Appliance>,
        removed: bool,
        complete: bool,
    ) -> Result<(), StreamEnd> {
        self.sender.send(WatchAppliancesResponse { appliance, removed, complete }).await
    }
}

fn watched_state(
    grid: &Grid,
    wanted: &ApplianceMatcher,
    name: &ApplianceName,
    now: Timestamp,
) -> WatchedState {
    let number = grid.state().find(name);
    let Some(appliance) = number.and_then(|number| grid.state().appliance(number)) else {
        return WatchedState::Removed;
    };
    let shown = encode::appliance(grid, appliance, now);
    if wanted.matches(appliance) {
        WatchedState::Matching(shown)
    } else {
        WatchedState::NotMatching(shown)
    }
}

fn take_names(names: &mut BTreeSet<ApplianceName>, most: usize) -> Vec<ApplianceName> {
    std::iter::from_fn(|| names.pop_first()).take(most).collect()
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;
    use tokio_stream::StreamExt;
    use tokio_stream::wrappers::ReceiverStream;
    use uuid::Uuid;

    use super::*;
    use crate::broker::{Started, start};
    use crate::contract::proto::{ApplianceFilter, ApplianceState};
    use crate::grid::log::applied_settings::AppliedSettings;
    use crate::grid::log::command::AdminCommand;
    use crate::grid::model::settings::{GridSettings, Overrides};
    use crate::journal;
    use crate::tasks;

    type WatchResponses = ReceiverStream<Result<WatchAppliancesResponse, Status>>;

    fn name(name: &str) -> ApplianceName {
        ApplianceName::new(name).expect("a name")
    }

    async fn send_command(started: &Started, command: AdminCommand) {
        started.broker.command("me", command).await.expect("it runs").expect("is taken");
    }

    async fn add(started: &Started, called: &str) {
        let (class, overrides) = (None, Overrides::default());
        let (name, uuid) = (name(called), Uuid::new_v4());
        send_command(started, AdminCommand::Add { name, uuid, class, overrides }).await;
    }

    async fn remove(started: &Started, called: &str) {
        send_command(started, AdminCommand::Remove { name: name(called) }).await;
    }

    /// A broker with db1 at index 1 and db2 at index 2, and a watch of idle appliances that the test
    /// drives itself.
    async fn watch_of_idle(dir: &tempfile::TempDir) -> (Started, ApplianceWatch, WatchResponses) {
        let journal =
            journal::JournalSettings { low_water: 0, ..journal::JournalSettings::new(dir.path()) };
        let runtime = Handle::current();
        let starting = move || {
            start(&journal, GridSettings::new([]), AppliedSettings::default(), runtime)
                .expect("starts")
        };
        let started = tasks::spawn_blocking("start", starting).await.expect("no panic");
        add(&started, "db1").await;
        add(&started, "db2").await;
        let (_, stopping) = tokio::sync::watch::channel(false);
        let states = vec![ApplianceState::Idle.into()];
        let wanted =
            ApplianceMatcher::new(Some(ApplianceFilter { states, ..ApplianceFilter::default() }));
        let services = Services::new(&started, None, stopping.clone());
        let (sender, responses) = StreamSender::new(stopping);
        let wanted = wanted.expect("a filter");
        (
            started,
            ApplianceWatch { services, matcher: wanted, sender, sent_names: BTreeSet::new() },
            responses,
        )
    }

    /// The received names with their states; `Unspecified` for removed ones.
    async fn received(
        responses: &mut WatchResponses,
        count: usize,
    ) -> Vec<(String, ApplianceState)> {
        let mut received = Vec::new();
        for response in responses.take(count).collect::<Vec<_>>().await {
            let response = response.expect("no error");
            let appliance = response.appliance.expect("an appliance");
            let state = appliance.state();
            assert_eq!(response.removed, state == ApplianceState::Unspecified);
            received.push((appliance.name, state));
        }
        received
    }

    fn in_state(called: &str, state: ApplianceState) -> (String, ApplianceState) {
        (called.to_owned(), state)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_round_sends_once_what_was_removed_or_matches_no_more() {
        use ApplianceState::{Idle, Starting, Unspecified};
        let dir = tempfile::tempdir().expect("a folder");
        let (started, mut watch, mut responses) = watch_of_idle(&dir).await;
        assert!(watch.send_all().await.is_ok());
        assert_eq!(
            received(&mut responses, 2).await,
            [in_state("db1", Idle), in_state("db2", Idle)]
        );
        // The client lagged: it was not sent these changes one by one.
        remove(&started, "db1").await;
        send_command(&started, AdminCommand::StartBoot { name: name("db2") }).await;
        add(&started, "db3").await;
        for _ in 0..2 {
            assert!(watch.send_all().await.is_ok());
        }
        let round =
            [in_state("db3", Idle), in_state("db1", Unspecified), in_state("db2", Starting)];
        assert_eq!(
            received(&mut responses, 4).await,
            [&round[..], &[in_state("db3", Idle)]].concat()
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_added_again_under_another_index_is_not_removed() {
        use ApplianceState::{Idle, Unspecified};
        let dir = tempfile::tempdir().expect("a folder");
        let (started, mut watch, mut responses) = watch_of_idle(&dir).await;
        assert!(watch.send_all().await.is_ok());
        received(&mut responses, 2).await;
        remove(&started, "db1").await;
        add(&started, "db1").await;
        remove(&started, "db2").await;
        let rows = [1, 3, 2].map(ApplianceIndex).to_vec();
        for _ in 0..2 {
            let changed = watch.services.changed_appliances(rows.clone()).await.expect("it runs");
            assert!(watch.send_changed(&changed).await.is_ok());
        }
        let once = [in_state("db1", Idle), in_state("db2", Unspecified)];
        assert_eq!(
            received(&mut responses, 3).await,
            [&once[..], &[in_state("db1", Idle)]].concat()
        );
    }
}
