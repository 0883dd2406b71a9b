//! What is shown before a crash dump is triggered, and the order itself.
//!
//! Guarantees that the question names every warning of the broker and what the appliance loses.

use std::io::Write;

use grid_broker::contract::proto::{
    Appliance, CheckCrashDumpResponse, CrashDumpReadiness, TriggerCrashDumpResponse,
};
use grid_broker::show::labels;

use crate::appliance_view::{describe_lock, pair_lines};
use crate::error::CliError;
use crate::fields::{Fields, ObjectValue, OutputObject};
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::{CellStyle, TableCell, wrap};

/// The width of the question on a terminal that is not stdout.
const QUESTION_WIDTH: usize = 80;

/// An appliance that is to be dumped, with what the broker says before.
#[derive(Clone, Debug, Default)]
pub(super) struct DumpQuestion {
    /// The appliance.
    pub(super) appliance: Appliance,
    /// The check.
    pub(super) check: CheckCrashDumpResponse,
}

impl DumpQuestion {
    /// What may make it useless or dangerous.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.check.warnings.clone();
        if let Some(lock) = self.appliance.lock.as_ref().filter(|_| self.check.possible) {
            let by = &lock.by;
            let why = if lock.reason.is_empty() {
                String::new()
            } else {
                format!(": \"{}\"", lock.reason)
            };
            warnings.push(format!("it is locked by {by}, which you may pass as an admin{why}"));
        }
        warnings
    }

    /// The question for the full name.
    pub(super) fn text(&self, look: &OutputOptions) -> String {
        let (name, driver) = (&self.appliance.name, &self.check.driver);
        let mut text = self.lines(look).join("\n");
        let effect = format!(
            "The driver {driver} crashes the kernel of {name}, which writes a crash dump and reboots. \
             Data that is not yet on its disks may be lost, and it is away until it has booted again. \
             Its state becomes dumping, then starting with the new boot, or failed without one."
        );
        let effect = TableCell::new(&effect).render(false);
        let width = look.terminal_width.unwrap_or(QUESTION_WIDTH);
        text.push_str(&format!("\n\n{}\n", wrap(&effect, width, usize::MAX).join("\n")));
        text.push_str(&format!(
            "Type the full name {} to go on: ",
            TableCell::new(name).render(false)
        ));
        text
    }

    /// The check as `key: value` lines.
    fn lines(&self, look: &OutputOptions) -> Vec<String> {
        let Self { appliance, check } = self;
        let state = labels::state(appliance.state).unwrap_or_default();
        let state = match look.format_time(&appliance.state_since) {
            since if since.is_empty() => state,
            since => format!("{state} since {since}"),
        };
        let mut pairs = vec![
            ("appliance", appliance.name.clone()),
            ("state", state),
            ("driver", check.driver.clone()),
        ];
        if let Some(lock) = &appliance.lock {
            pairs.push(("locked", describe_lock(lock, look)));
        }
        pairs.extend(check.readiness.iter().flat_map(readiness_lines));
        let mut warnings = self.warnings();
        if appliance.lock.is_some() && check.possible {
            // The line above tells the same.
            warnings.pop();
        }
        pairs.extend(warnings.into_iter().map(|warning| ("warning", warning)));
        let light = |key: &str| match key {
            "warning" => CellStyle::Yellow,
            _ => CellStyle::None,
        };
        pair_lines(&pairs, light, look)
    }
}

fn readiness_lines(readiness: &CrashDumpReadiness) -> [(&'static str, String); 2] {
    let CrashDumpReadiness {
        unknown_nmi_panic,
        panic_on_unrecovered_nmi,
        panic_on_io_nmi,
        crash_kernel_loaded,
    } = readiness;
    let sysctls = [
        (unknown_nmi_panic, "unknown_nmi_panic"),
        (panic_on_unrecovered_nmi, "panic_on_unrecovered_nmi"),
        (panic_on_io_nmi, "panic_on_io_nmi"),
    ];
    let on: Vec<_> = sysctls.iter().filter(|(is_on, _)| **is_on).map(|(_, name)| *name).collect();
    let armed = if on.is_empty() { "no".to_owned() } else { format!("yes ({})", on.join(", ")) };
    let loaded = if *crash_kernel_loaded { "loaded" } else { "not loaded" };
    [("panics on NMI", armed), ("crash kernel", loaded.to_owned())]
}

/// Prints a check.
pub(super) fn write_check(
    question: &DumpQuestion,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if !look.format.is_human_readable() {
        let view = ItemView { columns: &[], cells: |_, _| Vec::new(), to_object: check_object };
        return Ok(ListWriter::write_one(out, look, view, question)?);
    }
    for line in question.lines(look) {
        writeln!(out, "{line}")?;
    }
    if question.check.possible {
        writeln!(out, "a crash dump is possible now")?;
    }
    Ok(out.flush()?)
}

fn check_object(question: &DumpQuestion) -> OutputObject {
    let DumpQuestion { appliance, check } = question;
    let CheckCrashDumpResponse { possible, problem, driver, warnings: _, readiness } = check;
    let fields = vec![
        ("name", (&appliance.name).into()),
        ("possible", (*possible).into()),
        ("problem", problem.into()),
        ("driver", driver.into()),
        ("state", labels::state(appliance.state).into()),
        ("warnings", (&question.warnings()).into()),
        ("readiness", ObjectValue::Object(readiness.as_ref().map(readiness_fields))),
    ];
    OutputObject { kind: "crash_dump_check", name: appliance.name.clone(), fields }
}

fn readiness_fields(readiness: &CrashDumpReadiness) -> Fields {
    let CrashDumpReadiness {
        unknown_nmi_panic,
        panic_on_unrecovered_nmi,
        panic_on_io_nmi,
        crash_kernel_loaded,
    } = readiness;
    vec![
        ("unknown_nmi_panic", (*unknown_nmi_panic).into()),
        ("panic_on_unrecovered_nmi", (*panic_on_unrecovered_nmi).into()),
        ("panic_on_io_nmi", (*panic_on_io_nmi).into()),
        ("crash_kernel_loaded", (*crash_kernel_loaded).into()),
    ]
}

/// A crash dump that was requested.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestedDump {
    name: String,
    /// Its request id.
    pub(super) request_id: String,
    record_number: u64,
    warnings: Vec<String>,
}

impl RequestedDump {
    /// From the reply of the broker.
    pub(super) fn new(name: &str, reply: TriggerCrashDumpResponse) -> Self {
        let TriggerCrashDumpResponse { request_id, record_number, warnings } = reply;
        Self { name: name.to_owned(), request_id, record_number, warnings }
    }
}

/// Prints the order: `a crash dump of NAME is requested: ID (record N)`.
pub(super) fn write_order(
    order: &RequestedDump,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if !look.format.is_human_readable() {
        let to_object = |order: &RequestedDump| {
            let RequestedDump { name, request_id, record_number, warnings } = order;
            let fields = vec![
                ("name", name.into()),
                ("request_id", request_id.into()),
                ("record_number", (*record_number).into()),
                ("warnings", warnings.into()),
            ];
            OutputObject { kind: "crash_dump_request", name: request_id.clone(), fields }
        };
        let view = ItemView { columns: &[], cells: |_, _| Vec::new(), to_object };
        return Ok(ListWriter::write_one(out, look, view, order)?);
    }
    let (name, id) = (TableCell::new(&order.name), TableCell::new(&order.request_id));
    let (name, id, number) = (name.render(false), id.render(false), order.record_number);
    writeln!(out, "a crash dump of {name} is requested: {id} (record {number})")?;
    Ok(out.flush()?)
}
