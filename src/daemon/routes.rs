//! Builds the routes of both listeners, with authorization of each call and request.
//!
//! Guarantees that no route is served without the authorization layer, and that pages with TLS are served
//! from the moment that it is there. Knows no route.

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic_health::server::HealthReporter;

use super::DaemonError;
use crate::broker::Started;
use crate::config::Settings;
use crate::crash_dump::CrashDumps;
use crate::grpc::{self, Services};
use crate::http::acknowledge::AckPage;
use crate::identity::authenticator::Authenticator;
use crate::listener::{ListenerConfig, ListenerTls};
use crate::metrics::{Connections, Metrics};
use crate::{http, listener, tasks};

/// The services, with authorization and metrics of each call.
pub(super) async fn grpc_routes(
    services: Services,
    authenticator: Authenticator,
    metrics: &Metrics,
) -> Result<(Router, HealthReporter), DaemonError> {
    let (routes, health) = grpc::routes(services).await?;
    let routes = grpc::authorize_calls(routes.into_axum_router(), authenticator);
    Ok((grpc::count_calls(routes, metrics.clone()), health))
}

/// What the pages get once the broker has started.
pub(super) struct PageSources {
    broker: watch::Sender<Option<http::ServedBroker>>,
    authenticator: watch::Sender<Option<Authenticator>>,
}

impl PageSources {
    /// The broker has started.
    pub(super) fn publish(
        &self,
        started: &Started,
        crash_dumps: CrashDumps,
        authenticator: Authenticator,
        acknowledging: Option<AckPage>,
    ) {
        self.authenticator.send_replace(Some(authenticator));
        let served = http::ServedBroker::new(started, crash_dumps);
        self.broker.send_replace(Some(served.with_acknowledging(acknowledging)));
    }
}

/// The pages, with authorization of each request.
pub(super) fn page_routes(
    settings: &Settings,
    connections: Connections,
    stopping: watch::Receiver<bool>,
) -> (PageSources, Router) {
    let ((broker, served), (known, authenticator)) = (watch::channel(None), watch::channel(None));
    let mode = settings.authentication_mode();
    let authorization = http::PageAuthorization { mode, authenticator };
    let openstack = settings.openstack.clone();
    let openstack = http::openstack::ApiSettings { project: openstack.project, url: openstack.url };
    let pages = http::router(served, connections, stopping, authorization, &openstack);
    (PageSources { broker, authenticator: known }, pages)
}

/// Serves the pages; if the HTTP listener has TLS, from the moment that it is sent.
pub(super) fn serve_pages(
    settings: &Settings,
    (http, mut rules): (TcpListener, ListenerConfig),
    pages: Router,
    stopping: watch::Receiver<bool>,
) -> (oneshot::Sender<Option<ListenerTls>>, JoinHandle<()>) {
    let has_tls = settings.http_has_tls();
    let (sender, tls) = oneshot::channel();
    let serving = async move {
        if has_tls {
            // Without an answer the start failed.
            let Ok(tls) = tls.await else { return };
            rules.tls = tls;
        }
        listener::serve(http, pages, rules, stopping).await;
    };
    (sender, tasks::spawn("accept http", serving))
}
