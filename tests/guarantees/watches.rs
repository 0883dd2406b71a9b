//! Whoever watches appliances has what there is, and hears at once what does not match any more.

use grid_broker::contract::proto::{
    ApplianceFilter, ApplianceState, WatchAppliancesRequest, WatchAppliancesResponse,
};
use tonic::Streaming;

use crate::support::{Gridd, soon};

struct Watch(Streaming<WatchAppliancesResponse>);

impl Watch {
    async fn open(gridd: &Gridd, states: Vec<i32>) -> Self {
        let filter = Some(ApplianceFilter {
            names: vec!["db*".to_owned()],
            states,
            ..ApplianceFilter::default()
        });
        let request = WatchAppliancesRequest { filter };
        let answer = soon("a watch", gridd.appliances().await.watch_appliances(request)).await;
        Self(answer.expect("it begins").into_inner())
    }

    async fn next(&mut self) -> WatchAppliancesResponse {
        let next = soon("the watch's next message", self.0.message()).await;
        next.expect("it goes on").expect("it goes on")
    }

    /// The next appliance: its name, its state, and whether it is gone.
    async fn told(&mut self) -> (String, ApplianceState, bool) {
        let said = self.next().await;
        assert!(!said.complete, "that is said once");
        let appliance = said.appliance.expect("an appliance");
        (appliance.name.clone(), appliance.state(), said.removed)
    }
}

#[tokio::test]
async fn an_appliance_that_leaves_the_states_asked_for_is_told_once_more() {
    let gridd = Gridd::start().await;
    for name in ["db1", "db2", "web1"] {
        gridd.gridctl(&["appliance", "add", name]).await.done();
    }
    let mut watch = Watch::open(&gridd, vec![ApplianceState::Idle.into()]).await;
    for name in ["db1", "db2"] {
        assert_eq!(watch.told().await, (name.to_owned(), ApplianceState::Idle, false));
    }
    let first_round = watch.next().await;
    assert_eq!((first_round.complete, first_round.appliance), (true, None));

    gridd.gridctl(&["appliance", "boot", "db1"]).await.done();
    assert_eq!(watch.told().await, ("db1".to_owned(), ApplianceState::Starting, false));
    // It has been told; what happens to it now is not asked for.
    gridd.vme("db1", 1, &["id=started_ok"]).await.done();
    gridd.gridctl(&["appliance", "remove", "db1"]).await.done();
    gridd.gridctl(&["appliance", "remove", "web1"]).await.done();
    gridd.gridctl(&["appliance", "remove", "db2"]).await.done();
    assert_eq!(watch.told().await, ("db2".to_owned(), ApplianceState::Unspecified, true));
    gridd.gridctl(&["appliance", "add", "db1"]).await.done();
    assert_eq!(watch.told().await, ("db1".to_owned(), ApplianceState::Idle, false));
}

#[tokio::test]
async fn a_class_that_is_no_name_is_refused_by_its_field() {
    use grid_broker::contract::proto::{AddApplianceRequest, ApplianceSettings};
    use tonic_types::StatusExt;
    let gridd = Gridd::start().await;
    let class = Some("x".repeat(100_000));
    let settings = Some(ApplianceSettings { class, ..Default::default() });
    let request = AddApplianceRequest { name: "db1".to_owned(), settings };
    let refused = soon("an answer", gridd.appliances().await.add_appliance(request)).await;
    let details = refused.map(drop).expect_err("a refusal").get_error_details();
    let field = &details.bad_request().expect("it names the field").field_violations[0];
    assert_eq!(field.field, "settings.class");
    assert!(field.description.starts_with("1 to 128 bytes"), "{field:?}");
}
