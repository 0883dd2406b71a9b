//! Loads and runs an administrator's templates of mails: `subject.txt` and `body.txt`.
//!
//! Guarantees that a template which cannot be parsed, names an unknown variable or fails with a sample is
//! refused with its file, line and reason before anything is mailed; and that one which is run has a bound
//! on its steps and on its output, and reads nothing but its variables: no file, clock or environment. Does
//! not know how the variables get their values.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

/// Largest file of a template, in bytes.
const TEMPLATE_BYTES_MAX: u64 = 64 * 1_024;

/// Most steps of one run: a loop over all notices with some 500 steps each.
const TEMPLATE_STEPS_MAX: u64 = 200_000;

/// Largest output of a template, in bytes.
const TEMPLATE_OUTPUT_BYTES_MAX: usize = 16_000;

const SUBJECT: &str = "subject.txt";
const BODY: &str = "body.txt";

/// The variables of a template.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TemplateMail {
    /// The subject of the plain form.
    pub(crate) subject: String,
    /// The text of the plain form.
    pub(crate) plain: String,
    /// The name of the grid.
    pub(crate) grid: String,
    /// The receiver's address.
    pub(crate) recipient: String,
    /// The number of the mail; 0: a sample.
    pub(crate) mail: u64,
    /// The gravest severity of what is open; of what is resolved, if nothing is open.
    pub(crate) severity: &'static str,
    /// All of it is resolved.
    pub(crate) resolved: bool,
    /// It is the summary of what is open.
    pub(crate) summary: bool,
    /// When it was queued.
    pub(crate) queued_at: String,
    /// The number of the attempt.
    pub(crate) attempt: u32,
    /// How many alerts it reports, also those that are not in `alerts`.
    pub(crate) total: u64,
    /// The alerts, open ones and the gravest first.
    pub(crate) alerts: Vec<TemplateAlert>,
}

/// The variables of one alert.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TemplateAlert {
    /// The appliance; empty: the broker.
    pub(crate) appliance: String,
    /// Its class; empty: none.
    pub(crate) class: String,
    /// The kind: `start_failed`; `alert` for alerts of appliances.
    pub(crate) kind: String,
    /// The group key, or the kind.
    pub(crate) key: String,
    /// Its severity.
    pub(crate) severity: &'static str,
    /// What happened.
    pub(crate) text: String,
    /// Since when it is open; empty: not known.
    pub(crate) since: String,
    /// How often it was reported in all; 0: not known.
    pub(crate) count: u64,
    /// How often since the last mail on it; 0: it is new.
    pub(crate) repeats: u64,
    /// Somebody acknowledged it.
    pub(crate) acknowledged: bool,
    /// It is over.
    pub(crate) resolved: bool,
    /// Its number; 0: none.
    pub(crate) alert: u64,
    /// The number of its record; 0: not known.
    pub(crate) record: u64,
}

/// The names of [`TemplateMail`], for the error about another one.
const VARIABLES: &[&str] = &[
    "subject",
    "plain",
    "grid",
    "recipient",
    "mail",
    "severity",
    "resolved",
    "summary",
    "queued_at",
    "attempt",
    "total",
    "alerts",
];

/// The functions that templates have besides.
const FUNCTIONS: &[&str] = &["range", "dict", "namespace", "debug"];

impl TemplateMail {
    /// One with every field set, for the check.
    fn sample() -> Self {
        let alert = TemplateAlert {
            appliance: "shop:main.db1".to_owned(),
            class: "db".to_owned(),
            kind: "start_failed".to_owned(),
            key: "start_failed".to_owned(),
            severity: "error",
            text: "start of shop:main.db1 failed: no disk".to_owned(),
            since: "2026-11-20 14:28:49 +01:00".to_owned(),
            count: 3,
            repeats: 2,
            acknowledged: false,
            resolved: false,
            alert: 7,
            record: 12,
        };
        let over = TemplateAlert { resolved: true, acknowledged: true, ..alert.clone() };
        Self {
            subject: "[grid] error: shop:main.db1: start failed: no disk".to_owned(),
            plain: "# shop:main.db1: start failed\n".to_owned(),
            grid: "grid".to_owned(),
            recipient: "alice@example.org".to_owned(),
            mail: 1,
            severity: "error",
            resolved: false,
            summary: false,
            queued_at: "2026-11-20 14:29:19 +01:00".to_owned(),
            attempt: 1,
            total: 2,
            alerts: vec![alert, over],
        }
    }
}

/// Why a template cannot be used: `body.txt, line 3: unknown filter: filter loud is unknown`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {reason}", .line.map_or_else(String::new, |line| format!(", line {line}")))]
pub(crate) struct TemplateError {
    file: String,
    line: Option<usize>,
    reason: String,
}

impl TemplateError {
    fn of_file(path: &Path, reason: impl Into<String>) -> Self {
        Self { file: path.display().to_string(), line: None, reason: reason.into() }
    }

    fn of_run(path: &Path, error: &minijinja::Error) -> Self {
        let kind = error.kind();
        let reason = if kind == ErrorKind::OutOfFuel {
            format!("it takes more than {TEMPLATE_STEPS_MAX} steps; is a loop in a loop?")
        } else if kind == ErrorKind::WriteFailure {
            format!("its output is longer than {TEMPLATE_OUTPUT_BYTES_MAX} bytes")
        } else if let Some(detail) = error.detail() {
            format!("{kind}: {detail}")
        } else {
            kind.to_string()
        };
        Self { file: path.display().to_string(), line: error.line(), reason }
    }
}

/// The templates of a folder.
#[derive(Debug)]
pub(crate) struct MailTemplates {
    folder: PathBuf,
    environment: Environment<'static>,
}

impl MailTemplates {
    /// The templates of the folder in the settings; `None`: it is not set.
    pub(crate) fn configured(folder: &str) -> Result<Option<Self>, TemplateError> {
        (!folder.is_empty()).then(|| Self::open(Path::new(folder))).transpose()
    }

    /// Reads and checks the templates in `folder`: either file or both.
    fn open(folder: &Path) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(TEMPLATE_STEPS_MAX));
        let mut templates = Self { folder: folder.to_owned(), environment };
        let mut found = 0;
        for name in [SUBJECT, BODY] {
            let path = folder.join(name);
            let Some(text) = read(&path)? else { continue };
            let added = templates.environment.add_template_owned(name, text);
            added.map_err(|error| TemplateError::of_run(&path, &error))?;
            templates.check_variables(name, &path)?;
            templates.run(name, &TemplateMail::sample()).transpose()?;
            found += 1;
        }
        if found == 0 {
            let reason = format!("has neither {SUBJECT} nor {BODY}");
            return Err(TemplateError::of_file(folder, reason));
        }
        Ok(templates)
    }

    /// Refuses variables that are none: in a branch that the sample does not take they would fail later.
    fn check_variables(&self, name: &str, path: &Path) -> Result<(), TemplateError> {
        let Ok(template) = self.environment.get_template(name) else { return Ok(()) };
        let used = template.undeclared_variables(false);
        let mut unknown: Vec<_> = used
            .into_iter()
            .filter(|it| !VARIABLES.contains(&it.as_str()) && !FUNCTIONS.contains(&it.as_str()))
            .collect();
        unknown.sort();
        match unknown.first() {
            None => Ok(()),
            Some(first) => {
                let line = template.source().lines().position(|it| it.contains(first.as_str()));
                let reason =
                    format!("`{first}` is no variable; there are {}", VARIABLES.join(", "));
                let file = path.display().to_string();
                Err(TemplateError { file, line: line.map(|at| at + 1), reason })
            }
        }
    }

    /// The subject; `None`: there is no template of it.
    pub(crate) fn subject(&self, mail: &TemplateMail) -> Option<Result<String, TemplateError>> {
        self.run(SUBJECT, mail)
    }

    /// The text; `None`: there is no template of it.
    pub(crate) fn body(&self, mail: &TemplateMail) -> Option<Result<String, TemplateError>> {
        self.run(BODY, mail)
    }

    fn run(&self, name: &str, mail: &TemplateMail) -> Option<Result<String, TemplateError>> {
        let template = self.environment.get_template(name).ok()?;
        let mut output = LimitedOutput::default();
        let run = template.render_captured_to(Value::from(Serde(mail)), &mut output);
        let path = self.folder.join(name);
        Some(match run.map(drop) {
            Ok(()) => Ok(String::from_utf8_lossy(&output.0).into_owned()),
            Err(error) => Err(TemplateError::of_run(&path, &error)),
        })
    }
}

/// The text of a file; `None`: it does not exist.
fn read(path: &Path) -> Result<Option<String>, TemplateError> {
    let failed =
        |error: io::Error| TemplateError::of_file(path, format!("cannot read it: {error}"));
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        // Opening a pipe would wait for a writer.
        Ok(found) if !found.is_file() => {
            return Err(TemplateError::of_file(path, "is not a file"));
        }
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(TEMPLATE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > TEMPLATE_BYTES_MAX {
        return Err(TemplateError::of_file(path, "is larger than 64 KiB"));
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| TemplateError::of_file(path, "is not UTF-8"))
}

/// Refuses what goes beyond the limit.
#[derive(Default)]
struct LimitedOutput(Vec<u8>);

impl Write for LimitedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEMPLATE_OUTPUT_BYTES_MAX {
            return Err(io::Error::other("the output is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(subject: Option<&str>, body: Option<&str>) -> Result<MailTemplates, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [(SUBJECT, subject), (BODY, body)] {
            if let Some(text) = text {
                fs::write(folder.path().join(name), text).unwrap();
            }
        }
        let opened = MailTemplates::open(folder.path());
        let folder = format!("{}", folder.path().display());
        opened.map_err(|error| error.to_string().replace(&folder, "DIR"))
    }

    #[test]
    fn a_template_has_the_variables_and_prints_them() {
        let body = "{% for alert in alerts if not alert.resolved %}{{ alert.appliance }} \
                    ({{ alert.count }}x): {{ alert.text }}\n{% endfor %}{{ total }}";
        let templates = open(Some("{{ grid|upper }} {{ subject }}"), Some(body)).unwrap();
        let sample = TemplateMail::sample();
        assert_eq!(
            templates.body(&sample).unwrap().unwrap(),
            "shop:main.db1 (3x): start of shop:main.db1 failed: no disk\n2"
        );
        let subject = templates.subject(&sample).unwrap().unwrap();
        assert_eq!(subject, "GRID [grid] error: shop:main.db1: start failed: no disk");
        let only = open(None, Some("{{ plain }}")).unwrap();
        assert!(only.subject(&sample).is_none());
    }

    #[test]
    fn a_wrong_template_is_refused_with_file_line_and_reason() {
        for (body, expected) in [
            ("a\n{% if x", "DIR/body.txt, line 2: syntax error: "),
            ("a\n\n{{ grit }}", "DIR/body.txt, line 3: `grit` is no variable; there are subject, "),
            ("{% if resolved %}{{ nothing }}{% endif %}", "DIR/body.txt, line 1: `nothing` is no "),
            ("a\n{{ grid|loud }}", "DIR/body.txt, line 2: unknown filter: "),
            (
                "\n{% for it in alerts %}{{ it.name }}{% endfor %}",
                "DIR/body.txt, line 2: undefined ",
            ),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
                "DIR/body.txt, line 1: it takes more than 200000 steps",
            ),
            (
                "{% for a in range(9999) %}abc{% endfor %}",
                "DIR/body.txt: its output is longer than 16000 bytes",
            ),
            ("{% include '/etc/passwd' %}", "DIR/body.txt, line 1: syntax error: "),
        ] {
            let error = open(None, Some(body)).unwrap_err();
            assert!(error.starts_with(expected), "{body}: {error}");
        }
        assert_eq!(open(None, None).unwrap_err(), "DIR: has neither subject.txt nor body.txt");
        let large = open(Some(&"a".repeat(65_537)), None).unwrap_err();
        assert_eq!(large, "DIR/subject.txt: is larger than 64 KiB");
        let error = MailTemplates::open(Path::new("/nowhere")).unwrap_err().to_string();
        assert_eq!(error, "/nowhere: has neither subject.txt nor body.txt");
    }

    #[test]
    fn the_listed_variables_are_those_of_a_mail() {
        let value = serde_json::to_value(TemplateMail::sample()).unwrap();
        let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut listed = VARIABLES.to_vec();
        names.sort_unstable();
        listed.sort_unstable();
        assert_eq!(names, listed);
    }
}
