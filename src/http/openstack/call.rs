//! Holds what an operation needs to know of its request, and asks the broker for it.
//!
//! Guarantees that no query waits for the broker loop beyond a limit, and that none examines more
//! appliances than the loop has time for. Knows no operation.

use std::sync::Arc;

use axum::body::Bytes;
use uuid::Uuid;

use super::fault::Fault;
use super::microversion::Microversion;
use super::route::Route;
use super::text::Query;
use crate::grid::Grid;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};
use crate::grid::values::identity::Role;
use crate::grid::values::time::Timestamp;
use crate::http::{QUERY_TIMEOUT, ServedBroker};
use crate::identity::authenticator::Authenticator;
use crate::identity::peer::{Caller, Principal};

/// Most appliances that one query examines, so that it never blocks the loop for long.
pub(super) const ROWS_PER_QUERY: usize = 4_096;

/// The one project, whose servers the appliances are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Project {
    /// Its name.
    pub(super) name: String,
    /// Its id: 32 hexadecimal digits that follow from the name.
    pub(super) id: String,
}

impl Project {
    /// The project of that name.
    pub(super) fn new(name: &str) -> Self {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("project {name}").as_bytes());
        Self { name: name.to_owned(), id: id.simple().to_string() }
    }
}

/// How a server is shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The address of the API, as the client has called it: `http://127.0.0.1:7480`.
    pub(super) base: String,
    /// The version.
    pub(super) version: Microversion,
    /// The project.
    pub(super) project: Arc<Project>,
    /// The path of the API: `/v2.1` or `/v2`.
    pub(super) api: &'static str,
}

/// A request of an administrator, in a version that is supported.
pub(super) struct Call {
    /// The broker.
    pub(super) broker: ServedBroker,
    /// Checks what the caller may do.
    pub(super) authenticator: Authenticator,
    /// Who calls.
    pub(super) principal: Principal,
    /// How it is answered.
    pub(super) view: Arc<View>,
    /// What is requested.
    pub(super) route: Route,
    /// The query.
    pub(super) query: Query,
    /// The body.
    pub(super) body: Bytes,
}

/// An appliance that was found by its id.
#[derive(Clone, Debug)]
pub(super) struct FoundServer {
    /// Its index.
    pub(super) index: ApplianceIndex,
    /// Its name.
    pub(super) name: ApplianceName,
    /// Its id, as Nova writes it.
    pub(super) id: String,
}

impl Call {
    /// The version.
    pub(super) fn has(&self, minor: u16) -> bool {
        self.view.version.has(minor)
    }

    /// Whether the caller passes locks.
    pub(super) fn is_admin(&self) -> bool {
        matches!(&self.principal.caller, Caller::Administrator { role: Role::Admin, .. })
    }

    /// The name of the caller.
    pub(super) fn caller_name(&self) -> Box<str> {
        match &self.principal.caller {
            Caller::Administrator { name, .. } => name.clone(),
            Caller::Appliance(_) | Caller::Stranger => self.principal.for_record(),
        }
    }

    /// Runs a query in the broker loop.
    ///
    /// # Errors
    ///
    /// 503 if the broker stops or does not answer in time.
    pub(super) async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Grid, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let queried = self.broker.broker.query(query);
        match tokio::time::timeout(QUERY_TIMEOUT, queried).await {
            Ok(found) => Ok(found?),
            Err(_) => Err(Fault::unavailable("The broker does not answer in time.")),
        }
    }

    /// Examines all appliances in their order, from one on, until `examine` says that it is enough.
    ///
    /// # Errors
    ///
    /// See [`Call::query`].
    pub(super) async fn examine<T: Send + 'static>(
        &self,
        from: ApplianceIndex,
        found: T,
        examine: impl Fn(&mut T, &Grid, &Appliance) -> bool + Send + Sync + 'static,
    ) -> Result<T, Fault> {
        let examine = Arc::new(examine);
        let mut progress = (found, Some(from));
        while let (found, Some(from)) = progress {
            let examine = Arc::clone(&examine);
            let examined = self.query(move |grid, _| {
                let mut found = found;
                for (appliance, count) in grid.state().appliances_from(from).zip(0..) {
                    if count == ROWS_PER_QUERY {
                        return (found, Some(appliance.number));
                    }
                    if examine(&mut found, grid, appliance) {
                        break;
                    }
                }
                (found, None)
            });
            progress = examined.await?;
        }
        Ok(progress.0)
    }

    /// The appliance of the id in the path: its UUID, and never its name.
    ///
    /// # Errors
    ///
    /// 404 if there is none.
    pub(super) async fn server(&self) -> Result<FoundServer, Fault> {
        let id = self.route.id();
        let not_found = || Fault::not_found(format!("Instance {id} could not be found."));
        // Other forms of the same number are ids of nobody.
        let uuid = Uuid::try_parse(id).ok().filter(|_| id.len() == 36).ok_or_else(not_found)?;
        let found = self.examine(ApplianceIndex(1), None, move |found, _, appliance| {
            if appliance.uuid == uuid {
                let id = uuid.hyphenated().to_string();
                let (index, name) = (appliance.number, appliance.name.clone());
                *found = Some(FoundServer { index, name, id });
            }
            found.is_some()
        });
        found.await?.ok_or_else(not_found)
    }
}
