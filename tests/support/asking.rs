//! What a test asks of a running gridd: by `vme`, by `gridctl`, and over gRPC.

use std::process::Command;

use grid_broker::client::{APPLIANCE_METADATA, connect};
use grid_broker::contract::proto::alert_service_client::AlertServiceClient;
use grid_broker::contract::proto::appliance_service_client::ApplianceServiceClient;
use grid_broker::contract::proto::event_service_client::EventServiceClient;
use grid_broker::contract::proto::{
    Appliance, Event, GetApplianceRequest, ReportRequest, ReportResponse,
};
use serde_json::Value;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::gridd::Gridd;
use super::programs::{Run, clean, run};
use super::{eventually, soon};

impl Gridd {
    /// Runs `vme` as that appliance in boot `boot`.
    pub(crate) async fn vme(&self, appliance: &str, boot: u128, words: &[&str]) -> Run {
        run(self.vme_command(appliance, boot, words)).await
    }

    /// `vme`, not yet started.
    pub(crate) fn vme_command(&self, appliance: &str, boot: u128, words: &[&str]) -> Command {
        let mut command = clean(env!("CARGO_BIN_EXE_vme"));
        command.env("VME_BOOT_ID", uuid::Uuid::from_u128(boot).to_string());
        command.env("VME_STATE", self.path(&format!("vme-{appliance}")));
        command.args(["--broker", &self.grpc, "--appliance", appliance]).args(words);
        command
    }

    /// Runs `gridctl`.
    pub(crate) async fn gridctl(&self, words: &[&str]) -> Run {
        run(self.gridctl_command(words)).await
    }

    /// `gridctl`, not yet started.
    pub(crate) fn gridctl_command(&self, words: &[&str]) -> Command {
        let mut command = clean(env!("CARGO_BIN_EXE_gridctl"));
        command.args(["--broker", &self.grpc]).args(words);
        command
    }

    /// All records that match, by `gridctl log list --all --output json`; those that only count
    /// if asked for by their kind. There are none of an appliance that the broker does not know yet.
    pub(crate) async fn records(&self, filters: &[&str]) -> Vec<Value> {
        let words = [&["log", "list", "--all", "--output", "json"], filters].concat();
        let listed = self.gridctl(&words).await;
        if listed.code == Some(7) && listed.stderr.contains("there is no appliance") {
            return Vec::new();
        }
        assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
        let mut records: Vec<Value> =
            serde_json::from_str(&listed.stdout).expect("an array of records");
        records.retain(|record| filters.contains(&"tally") || record["kind"] != "tally");
        records
    }

    /// A connection.
    pub(crate) async fn channel(&self) -> Channel {
        soon("a connection", connect(&self.grpc)).await.expect("the broker answers")
    }

    /// The appliances over gRPC.
    pub(crate) async fn appliances(&self) -> ApplianceServiceClient<Channel> {
        ApplianceServiceClient::new(self.channel().await)
    }

    /// The open matters over gRPC.
    pub(crate) async fn alerts(&self) -> AlertServiceClient<Channel> {
        AlertServiceClient::new(self.channel().await)
    }

    /// Sends one event of a spool (0: of none) by the call `Report`.
    pub(crate) async fn report(
        &self,
        name: &str,
        spool_id: u64,
        event: Event,
    ) -> Result<ReportResponse, Status> {
        let mut client = EventServiceClient::new(self.channel().await);
        let mut request = Request::new(ReportRequest { event: Some(event), spool_id });
        request.metadata_mut().insert(APPLIANCE_METADATA, name.parse().expect("metadata"));
        soon("the answer", client.report(request)).await.map(Response::into_inner)
    }

    /// One appliance as it stands.
    pub(crate) async fn appliance(&self, name: &str) -> Appliance {
        let request = GetApplianceRequest { name: name.to_owned() };
        let answer = soon("the appliance", self.appliances().await.get_appliance(request)).await;
        answer.expect("it is known").into_inner().appliance.expect("an appliance")
    }

    /// Waits until `gridctl appliance show` explains the appliance in words with `part`.
    pub(crate) async fn explained(&self, name: &str, part: &str) -> Appliance {
        eventually(&format!("{name} explained by `{part}`"), async || {
            let appliance = self.appliance(name).await;
            appliance.explanation.contains(part).then_some(appliance)
        })
        .await
    }
}
