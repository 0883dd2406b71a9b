//! A watch: all appliances that match, then each that changes.
//!
//! Guarantees that a watcher who keeps by name what was told has, after each round, what there is:
//! what goes or does not match any more is told once, however far the watcher lagged behind.

use std::collections::BTreeSet;

use tokio::sync::broadcast::error::RecvError;
use tokio_stream::Stream;
use tonic::Status;

use super::appliances::{Wanted, page};
use super::telling::{Ended, Teller};
use super::{Desk, guard};
use crate::broker::Changed;
use crate::grid::Grid;
use crate::grid::name::{ApplianceName, ApplianceNumber};
use crate::grid::time::Timestamp;
use crate::wire::proto::{self, WatchAppliancesResponse};
use crate::wire::show;

/// Appliances asked for at once.
const BATCH: usize = 256;

/// Opens a watch.
pub(super) fn open(
    desk: Desk,
    wanted: Wanted,
) -> impl Stream<Item = Result<WatchAppliancesResponse, Status>> + Send + use<> {
    let (teller, stream) = Teller::new(desk.stopping.clone());
    guard::spawn_telling("watch appliances", teller.sender(), async move {
        let mut watch = Watch { desk, wanted, teller, known: BTreeSet::new() };
        let ended = watch.follow().await;
        watch.teller.close(ended).await;
    });
    stream
}

struct Watch {
    desk: Desk,
    wanted: Wanted,
    teller: Teller<WatchAppliancesResponse>,
    /// What this watcher has: names that were told last as matching. As many as match at most, and
    /// those that went since the last round.
    known: BTreeSet<ApplianceName>,
}

/// What a name stands for at the moment.
enum Standing {
    Wanted(proto::Appliance),
    NotWanted(proto::Appliance),
    Gone,
}

impl Watch {
    async fn follow(&mut self) -> Result<(), Ended> {
        let mut changes = self.desk.broker.watch();
        self.tell_all().await?;
        self.tell(None, false, true).await?;
        loop {
            let changed = tokio::select! {
                changed = changes.recv() => changed,
                ended = self.teller.ended() => return Err(ended),
            };
            match changed {
                Ok(Changed::These(numbers)) => self.tell_rows(numbers.to_vec()).await?,
                Ok(Changed::All) | Err(RecvError::Lagged(_)) => self.tell_all().await?,
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    /// A round of all there is, then of what the watcher has and the round did not meet.
    async fn tell_all(&mut self) -> Result<(), Ended> {
        let mut unmet = self.known.clone();
        let mut from = Some(ApplianceNumber(1));
        while let Some(first) = from {
            self.teller.go_on()?;
            let wanted = self.wanted.clone();
            let question = move |grid: &Grid, now| page(grid, &wanted, first, BATCH, now);
            let (appliances, next) = self.ask(question).await?;
            for appliance in appliances {
                let name = ApplianceName::kept(&appliance.name).ok();
                self.tell(Some(appliance), false, false).await?;
                if let Some(name) = name {
                    unmet.remove(&name);
                    self.known.insert(name);
                }
            }
            from = next;
        }
        while !unmet.is_empty() {
            let names = take(&mut unmet, BATCH);
            self.tell_names(names).await?;
        }
        Ok(())
    }

    async fn tell_rows(&mut self, numbers: Vec<ApplianceNumber>) -> Result<(), Ended> {
        let wanted = self.wanted.clone();
        let question = move |grid: &Grid, _| {
            let names = numbers.into_iter().filter_map(|number| grid.state().name(number));
            names.filter(|name| wanted.takes_name(name.as_str())).cloned().collect()
        };
        let mut names: BTreeSet<ApplianceName> = self.ask(question).await?;
        while !names.is_empty() {
            let some = take(&mut names, BATCH);
            self.tell_names(some).await?;
        }
        Ok(())
    }

    /// Tells how these names stand, so far as it is news: an appliance that went may live again
    /// under its name in another row.
    async fn tell_names(&mut self, names: Vec<ApplianceName>) -> Result<(), Ended> {
        self.teller.go_on()?;
        let wanted = self.wanted.clone();
        let question = move |grid: &Grid, now| {
            let standing = |name: ApplianceName| (standing(grid, &wanted, &name, now), name);
            names.into_iter().map(standing).collect::<Vec<_>>()
        };
        for (standing, name) in self.ask(question).await? {
            match standing {
                Standing::Wanted(appliance) => {
                    self.tell(Some(appliance), false, false).await?;
                    self.known.insert(name);
                }
                Standing::NotWanted(appliance) if self.known.remove(&name) => {
                    self.tell(Some(appliance), false, false).await?;
                }
                Standing::Gone if self.known.remove(&name) => {
                    let name = name.to_string();
                    let appliance = proto::Appliance { name, ..Default::default() };
                    self.tell(Some(appliance), true, false).await?;
                }
                Standing::NotWanted(_) | Standing::Gone => {}
            }
        }
        Ok(())
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Grid, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let answer = self.desk.broker.ask(question).await;
        answer.map_err(|gone| Ended::Failed(super::status::unavailable(gone)))
    }

    async fn tell(
        &mut self,
        appliance: Option<proto::Appliance>,
        removed: bool,
        complete: bool,
    ) -> Result<(), Ended> {
        self.teller.tell(WatchAppliancesResponse { appliance, removed, complete }).await
    }
}

fn standing(grid: &Grid, wanted: &Wanted, name: &ApplianceName, now: Timestamp) -> Standing {
    let number = grid.state().find(name);
    let Some(appliance) = number.and_then(|number| grid.state().appliance(number)) else {
        return Standing::Gone;
    };
    let shown = show::appliance(grid, appliance, now);
    if wanted.takes(appliance) { Standing::Wanted(shown) } else { Standing::NotWanted(shown) }
}

fn take(names: &mut BTreeSet<ApplianceName>, most: usize) -> Vec<ApplianceName> {
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
    use crate::grid::in_force::SettingsInForce;
    use crate::grid::record::Order;
    use crate::grid::settings::{Overrides, Settings};
    use crate::journal;
    use crate::tasks;
    use crate::wire::proto::{ApplianceFilter, ApplianceState};

    type Told = ReceiverStream<Result<WatchAppliancesResponse, Status>>;

    fn name(name: &str) -> ApplianceName {
        ApplianceName::new(name).expect("a name")
    }

    async fn order(started: &Started, order: Order) {
        started.broker.order("me", order).await.expect("it runs").expect("is taken");
    }

    async fn add(started: &Started, called: &str) {
        let (class, overrides) = (None, Overrides::default());
        let (name, uuid) = (name(called), Uuid::new_v4());
        order(started, Order::Add { name, uuid, class, overrides }).await;
    }

    async fn remove(started: &Started, called: &str) {
        order(started, Order::Remove { name: name(called) }).await;
    }

    /// A broker with db1 in row 1 and db2 in row 2, and a watch of those that are idle, which does
    /// not follow by itself.
    async fn watched(dir: &tempfile::TempDir) -> (Started, Watch, Told) {
        let journal = journal::Settings { low_water: 0, ..journal::Settings::new(dir.path()) };
        let runtime = Handle::current();
        let starting = move || {
            start(&journal, Settings::new([]), SettingsInForce::default(), runtime).expect("starts")
        };
        let started = tasks::spawn_blocking("start", starting).await.expect("no panic");
        add(&started, "db1").await;
        add(&started, "db2").await;
        let (_, stopping) = tokio::sync::watch::channel(false);
        let states = vec![ApplianceState::Idle.into()];
        let wanted = Wanted::new(Some(ApplianceFilter { states, ..ApplianceFilter::default() }));
        let desk = Desk::new(&started, None, stopping.clone());
        let (teller, told) = Teller::new(stopping);
        let wanted = wanted.expect("a filter");
        (started, Watch { desk, wanted, teller, known: BTreeSet::new() }, told)
    }

    /// What was told, as names with their states; `Unspecified` for what was removed.
    async fn heard(told: &mut Told, count: usize) -> Vec<(String, ApplianceState)> {
        let mut heard = Vec::new();
        for said in told.take(count).collect::<Vec<_>>().await {
            let said = said.expect("no error");
            let appliance = said.appliance.expect("an appliance");
            let state = appliance.state();
            assert_eq!(said.removed, state == ApplianceState::Unspecified);
            heard.push((appliance.name, state));
        }
        heard
    }

    fn is(called: &str, state: ApplianceState) -> (String, ApplianceState) {
        (called.to_owned(), state)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_round_tells_once_what_went_and_what_does_not_match_any_more() {
        use ApplianceState::{Idle, Starting, Unspecified};
        let dir = tempfile::tempdir().expect("a folder");
        let (started, mut watch, mut told) = watched(&dir).await;
        assert!(watch.tell_all().await.is_ok());
        assert_eq!(heard(&mut told, 2).await, [is("db1", Idle), is("db2", Idle)]);
        // The watcher lagged: nobody told it of these one by one.
        remove(&started, "db1").await;
        order(&started, Order::StartBoot { name: name("db2") }).await;
        add(&started, "db3").await;
        for _ in 0..2 {
            assert!(watch.tell_all().await.is_ok());
        }
        let round = [is("db3", Idle), is("db1", Unspecified), is("db2", Starting)];
        assert_eq!(heard(&mut told, 4).await, [&round[..], &[is("db3", Idle)]].concat());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_lives_again_in_another_row_is_not_removed() {
        use ApplianceState::{Idle, Unspecified};
        let dir = tempfile::tempdir().expect("a folder");
        let (started, mut watch, mut told) = watched(&dir).await;
        assert!(watch.tell_all().await.is_ok());
        heard(&mut told, 2).await;
        remove(&started, "db1").await;
        add(&started, "db1").await;
        remove(&started, "db2").await;
        let rows = [1, 3, 2].map(ApplianceNumber).to_vec();
        for _ in 0..2 {
            assert!(watch.tell_rows(rows.clone()).await.is_ok());
        }
        let once = [is("db1", Idle), is("db2", Unspecified)];
        assert_eq!(heard(&mut told, 3).await, [&once[..], &[is("db1", Idle)]].concat());
    }
}
