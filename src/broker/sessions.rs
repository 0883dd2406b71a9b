//! Resolves the names of sessions and reports to appliances, and opens sessions.
//!
//! Guarantees one appliance a name: an unknown name is registered. Decides nothing.

use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::backlog::Backlog;
use super::queue::BrokerRequest;
use super::{BrokerHandle, EventLoop, SessionAccepted, Unavailable};
use crate::grid::log::input::{Input, SessionHello};
use crate::grid::values::id::{ApplianceIndex, ApplianceName, BootId, SessionId, SpoolId};
use crate::grid::values::time::Timestamp;

/// A hello before its name is resolved; its fields are those of [`SessionHello`].
#[derive(Clone, Copy, Debug)]
pub struct UnresolvedHello {
    /// The boot.
    pub boot: BootId,
    /// How long the boot has been up.
    pub uptime: Option<Duration>,
    /// The spool that numbers its events.
    pub spool: Option<SpoolId>,
    /// The highest sequence number acknowledged to the appliance; 0: none.
    pub acked_through: u64,
    /// The session is transient.
    pub is_transient: bool,
    /// The session.
    pub session: SessionId,
}

impl UnresolvedHello {
    pub(super) fn resolve(self, appliance: ApplianceIndex) -> SessionHello {
        let Self { boot, uptime, spool, acked_through, is_transient, session } = self;
        SessionHello { appliance, boot, uptime, spool, acked_through, is_transient, session }
    }
}

impl BrokerHandle {
    /// Opens a session; from now on `backlog` shows what it has yet to submit.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before it is durable.
    pub async fn open_session(
        &self,
        name: ApplianceName,
        greeting: UnresolvedHello,
        backlog: Backlog,
    ) -> Result<SessionAccepted, Unavailable> {
        self.ensure_room()?;
        let (reply, answer) = oneshot::channel();
        self.enqueue(BrokerRequest::Hello { name, greeting, backlog, reply }, 0).await?;
        answer.await.map_err(|_| self.unavailable_reason())
    }
}

impl EventLoop {
    /// The appliance of that name; an unknown name is registered.
    pub(super) fn find_or_register(
        &mut self,
        name: &ApplianceName,
        at: Timestamp,
    ) -> ApplianceIndex {
        if let Some(number) = self.driver.grid().state().find(name) {
            return number;
        }
        let number = self.driver.grid().state().next_number();
        self.decide(Input::Registered { name: name.clone(), uuid: Uuid::new_v4() }, at);
        number
    }

    pub(super) fn is_spool_known(&self, hello: &SessionHello) -> bool {
        let appliance = self.driver.grid().state().appliance(hello.appliance);
        match (appliance, hello.spool) {
            (Some(appliance), Some(spool)) => appliance.windows.contains_spool(hello.boot, spool),
            (_, _) => false,
        }
    }

    pub(super) fn session_accepted(
        &self,
        number: ApplianceIndex,
        knew_spool: bool,
    ) -> Option<SessionAccepted> {
        let appliance = self.driver.grid().state().appliance(number)?;
        let rules = self.driver.grid().settings().rules(&appliance.class, &appliance.overrides);
        let promise_max = rules.report_interval_max;
        Some(SessionAccepted {
            appliance: number,
            uuid: appliance.uuid,
            is_spool_known: knew_spool,
            report_deadline_max: promise_max,
        })
    }
}
