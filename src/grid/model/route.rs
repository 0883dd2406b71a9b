//! Decides by routes who gets the notifications of an alert, and whether they wait.
//!
//! Guarantees that routes are tried in their order, that the first one which matches decides unless it
//! continues, and that each receiver is named once. Pure: time and facts are given. Does not know
//! silences, acknowledgements or deliveries.

use crate::grid::model::matcher::{AlertFacts, Matchers};
use crate::grid::model::quiet_hours::QuietHours;
use crate::grid::values::time::Timestamp;

/// The most routes.
pub const ROUTES_MAX: usize = 128;

/// The most receivers of a route.
pub const ROUTE_RECEIVERS_MAX: usize = 16;

/// The name of the route of alerts that no route matches.
pub const DEFAULT_ROUTE: &str = "default";

/// Stands among the receivers of a route for all default receivers.
pub const DEFAULT_RECEIVERS: &str = "default";

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationRoute {
    /// Its name.
    pub name: Box<str>,
    /// Which alerts it takes.
    pub matchers: Matchers,
    /// Who gets them.
    pub receivers: RouteReceivers,
    /// Later routes are tried, too.
    pub continues: bool,
    /// When they wait.
    pub quiet_hours: Option<QuietHours>,
}

/// Who gets what a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteReceivers {
    /// These: mail addresses, `webhook:NAME`, and [`DEFAULT_RECEIVERS`]; none: nobody by this route.
    Listed(Box<[Box<str>]>),
    /// Nobody, and no later route is tried.
    Muted,
}

/// All routes, in their order, and the receivers of what no route matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    routes: Vec<NotificationRoute>,
    default_receivers: Vec<Box<str>>,
}

/// One receiver of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTarget {
    /// A mail address, or `webhook:NAME`.
    pub receiver: Box<str>,
    /// The route by which it gets the notification.
    pub route: Box<str>,
    /// When the quiet hours end for which the notification waits; `None`: it does not wait.
    pub hold_until: Option<Timestamp>,
}

/// What the routes decide on an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingDecision {
    /// Who gets it, in the order of the routes; empty: nobody.
    pub targets: Vec<RouteTarget>,
    /// The routes that matched, in their order; [`DEFAULT_ROUTE`] if none did.
    pub routes: Vec<Box<str>>,
    /// The last of them mutes.
    pub is_muted: bool,
}

impl Routing {
    /// Routes in their order, at most [`ROUTES_MAX`]: more are left out.
    pub fn new(
        routes: impl IntoIterator<Item = NotificationRoute>,
        default_receivers: impl IntoIterator<Item = Box<str>>,
    ) -> Self {
        let mut distinct: Vec<Box<str>> = Vec::new();
        for receiver in default_receivers {
            if !distinct.contains(&receiver) {
                distinct.push(receiver);
            }
        }
        let routes = routes.into_iter().take(ROUTES_MAX).collect();
        Self { routes, default_receivers: distinct }
    }

    /// The routes in their order, without that of alerts which no route matches.
    pub fn routes(&self) -> &[NotificationRoute] {
        &self.routes
    }

    /// Who gets what no route matches.
    pub fn default_receivers(&self) -> &[Box<str>] {
        &self.default_receivers
    }

    /// Every receiver that a route or the default names, each once, sorted.
    pub fn receivers(&self) -> Vec<&str> {
        let own = self.routes.iter().flat_map(|route| self.receivers_of(route));
        let default = self.default_receivers.iter().map(AsRef::as_ref);
        let mut all: Vec<&str> = own.chain(default).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The receivers of a route.
    pub fn receivers_of<'a>(&'a self, route: &'a NotificationRoute) -> Vec<&'a str> {
        let listed = match &route.receivers {
            RouteReceivers::Listed(receivers) => &**receivers,
            RouteReceivers::Muted => &[],
        };
        let expanded = listed.iter().flat_map(|receiver| match &**receiver {
            DEFAULT_RECEIVERS => self.default_receivers.as_slice(),
            _ => std::slice::from_ref(receiver),
        });
        expanded.map(AsRef::as_ref).collect()
    }

    /// Who gets a notification of such an alert at `now`.
    pub fn targets(&self, facts: &AlertFacts<'_>, now: Timestamp) -> Vec<RouteTarget> {
        self.decide(facts, now).targets
    }

    /// The same, with the routes that decided. A receiver of several routes gets it by the one that
    /// lets it wait least, of those the first.
    pub fn decide(&self, facts: &AlertFacts<'_>, now: Timestamp) -> RoutingDecision {
        let mut decision = RoutingDecision::default();
        for route in self.routes.iter().filter(|route| route.matchers.matches(facts)) {
            let quiet = route.quiet_hours.as_ref();
            let hold_until = quiet.and_then(|quiet| quiet.hold_until(facts.severity, now));
            decision.routes.push(route.name.clone());
            for receiver in self.receivers_of(route) {
                decision.add(receiver, &route.name, hold_until);
            }
            decision.is_muted = route.receivers == RouteReceivers::Muted;
            if decision.is_muted || !route.continues {
                return decision;
            }
        }
        if decision.routes.is_empty() {
            decision.routes.push(DEFAULT_ROUTE.into());
            for receiver in &self.default_receivers {
                decision.add(receiver, DEFAULT_ROUTE, None);
            }
        }
        decision
    }
}

impl RoutingDecision {
    fn add(&mut self, receiver: &str, route: &str, hold_until: Option<Timestamp>) {
        let target = RouteTarget { receiver: receiver.into(), route: route.into(), hold_until };
        match self.targets.iter_mut().find(|it| *it.receiver == *receiver) {
            // `None` is the least: it does not wait.
            Some(before) if hold_until < before.hold_until => *before = target,
            Some(_) => {}
            None => self.targets.push(target),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::grid::values::event::Severity;

    const NIGHT: &str = "2026-12-01T03:00Z";

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().expect("a time");
        Timestamp::from_micros(at.as_microsecond())
    }

    fn route(name: &str, matchers: &str, receivers: &[&str]) -> NotificationRoute {
        NotificationRoute {
            name: name.into(),
            matchers: Matchers::parse(matchers).expect("valid"),
            receivers: RouteReceivers::Listed(receivers.iter().map(|it| (*it).into()).collect()),
            continues: false,
            quiet_hours: None,
        }
    }

    fn continuing(name: &str, matchers: &str, receivers: &[&str]) -> NotificationRoute {
        NotificationRoute { continues: true, ..route(name, matchers, receivers) }
    }

    fn quiet(route: NotificationRoute, period: &str) -> NotificationRoute {
        let period = period.parse().expect("a period");
        let quiet = QuietHours::new(&[period], TimeZone::UTC, Severity::Error).expect("valid");
        NotificationRoute { quiet_hours: Some(quiet), ..route }
    }

    /// Each as `receiver by route`, with the end of the wait.
    fn targets(routing: &Routing, appliance: &str, severity: Severity) -> Vec<String> {
        let facts = AlertFacts {
            appliance: Some(appliance),
            class: "default",
            kind: "event",
            key: "",
            severity,
        };
        let row = |it: RouteTarget| match it.hold_until {
            Some(end) => format!("{} by {} at {}", it.receiver, it.route, end.as_micros()),
            None => format!("{} by {}", it.receiver, it.route),
        };
        routing.targets(&facts, at(NIGHT)).into_iter().map(row).collect()
    }

    fn routing(routes: impl IntoIterator<Item = NotificationRoute>) -> Routing {
        Routing::new(routes, ["ops@a.b", "boss@a.b", "ops@a.b"].map(Into::into))
    }

    #[test]
    fn without_routes_all_default_receivers_get_everything_at_once() {
        let expected = ["ops@a.b by default", "boss@a.b by default"];
        assert_eq!(targets(&routing([]), "db1", Severity::Debug), expected);
        let other = routing([route("web", "appliance=web*", &["web@a.b"])]);
        assert_eq!(targets(&other, "db1", Severity::Fatal), expected);
        assert_eq!(targets(&Routing::default(), "db1", Severity::Fatal), [""; 0]);
    }

    #[test]
    fn the_first_route_that_matches_decides_unless_it_continues() {
        let all = routing([
            continuing("log", "severity>=warn", &["log@a.b", "dba@a.b"]),
            route("nobody", "appliance=lab*", &[]),
            route("db", "appliance=db*", &["dba@a.b", "webhook:chat"]),
            route("rest", "", &["rest@a.b"]),
        ]);
        let expected = ["log@a.b by log", "dba@a.b by log", "webhook:chat by db"];
        assert_eq!(targets(&all, "db1", Severity::Error), expected);
        assert_eq!(targets(&all, "db1", Severity::Info), ["dba@a.b by db", "webhook:chat by db"]);
        assert_eq!(targets(&all, "lab1", Severity::Info), [""; 0]);
        assert_eq!(targets(&all, "web1", Severity::Info), ["rest@a.b by rest"]);
        let only = routing([continuing("log", "", &["log@a.b"])]);
        assert_eq!(targets(&only, "db1", Severity::Info), ["log@a.b by log"], "one has matched");
        let names = ["boss@a.b", "dba@a.b", "log@a.b", "ops@a.b", "rest@a.b", "webhook:chat"];
        assert_eq!(all.receivers(), names);
    }

    #[test]
    fn a_route_may_mute_or_use_the_default_receivers() {
        let muting = |name, matchers| NotificationRoute {
            receivers: RouteReceivers::Muted,
            ..route(name, matchers, &[])
        };
        let all = routing([
            continuing("log", "", &["log@a.b"]),
            muting("lab", "appliance=lab*"),
            route("rest", "", &["default", "webhook:chat"]),
        ]);
        assert_eq!(targets(&all, "lab1", Severity::Fatal), ["log@a.b by log"]);
        let expected =
            ["log@a.b by log", "ops@a.b by rest", "boss@a.b by rest", "webhook:chat by rest"];
        assert_eq!(targets(&all, "db1", Severity::Fatal), expected);
        let facts = AlertFacts {
            appliance: Some("lab1"),
            class: "default",
            kind: "event",
            key: "",
            severity: Severity::Warn,
        };
        let decision = all.decide(&facts, at(NIGHT));
        assert!(decision.is_muted);
        assert_eq!(decision.routes, ["log".into(), "lab".into()]);
    }

    #[test]
    fn what_waits_for_the_end_of_quiet_hours_says_so_and_the_shortest_wait_counts() {
        let all = routing([
            NotificationRoute {
                continues: true,
                ..quiet(route("long", "", &["a@a.b", "b@a.b"]), "00:00-08:00")
            },
            NotificationRoute {
                continues: true,
                ..quiet(route("short", "", &["b@a.b"]), "00:00-06:00")
            },
            route("now", "appliance=db*", &["a@a.b"]),
        ]);
        let [six, eight] = ["06", "08"].map(|it| at(&format!("2026-12-01T{it}:00Z")).as_micros());
        assert_eq!(
            targets(&all, "web1", Severity::Warn),
            [format!("a@a.b by long at {eight}"), format!("b@a.b by short at {six}")]
        );
        assert_eq!(
            targets(&all, "db1", Severity::Warn),
            ["a@a.b by now".to_owned(), format!("b@a.b by short at {six}")]
        );
        assert_eq!(targets(&all, "web1", Severity::Error), ["a@a.b by long", "b@a.b by long"]);
    }
}
