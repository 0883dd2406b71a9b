//! Resolves the names of sessions and reports to appliances, and opens sessions.
//!
//! Guarantees one appliance a name: an unknown name is registered. Decides nothing.

use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::backlog::Backlog;
use super::queue::Work;
use super::{Broker, Loop, Unavailable, Welcomed};
use crate::grid::name::{ApplianceName, ApplianceNumber, BootId, SpoolId};
use crate::grid::record::{Hello, Input, SessionId};
use crate::grid::time::Timestamp;

/// A hello before its name is resolved; its fields are those of [`Hello`].
#[derive(Clone, Copy, Debug)]
pub struct Greeting {
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

impl Greeting {
    pub(super) fn by(self, appliance: ApplianceNumber) -> Hello {
        let Self { boot, uptime, spool, acked_through, is_transient, session } = self;
        Hello { appliance, boot, uptime, spool, acked_through, is_transient, session }
    }
}

impl Broker {
    /// Opens a session; from now on `backlog` shows what it has yet to submit.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the broker stops before it is durable.
    pub async fn hello(
        &self,
        name: ApplianceName,
        greeting: Greeting,
        backlog: Backlog,
    ) -> Result<Welcomed, Unavailable> {
        self.needs_room()?;
        let (reply, answer) = oneshot::channel();
        self.put(Work::Hello { name, greeting, backlog, reply }, 0).await?;
        answer.await.map_err(|_| self.unanswered())
    }
}

impl Loop {
    /// The row of that name; a name that is not known is taken in.
    pub(super) fn appliance(&mut self, name: &ApplianceName, at: Timestamp) -> ApplianceNumber {
        if let Some(number) = self.driver.grid().state().find(name) {
            return number;
        }
        let number = self.driver.grid().state().next_row();
        self.take(Input::Appeared { name: name.clone(), uuid: Uuid::new_v4() }, at);
        number
    }

    pub(super) fn knows_spool(&self, hello: &Hello) -> bool {
        let appliance = self.driver.grid().state().appliance(hello.appliance);
        match (appliance, hello.spool) {
            (Some(appliance), Some(spool)) => appliance.windows.knows(hello.boot, spool),
            (_, _) => false,
        }
    }

    pub(super) fn welcomed(&self, number: ApplianceNumber, knew_spool: bool) -> Option<Welcomed> {
        let appliance = self.driver.grid().state().appliance(number)?;
        let rules = self.driver.grid().settings().rules(&appliance.class, &appliance.overrides);
        let promise_max = rules.promise_max;
        Some(Welcomed { appliance: number, uuid: appliance.uuid, knew_spool, promise_max })
    }
}
