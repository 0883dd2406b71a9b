//! Tests of webhooks and of the heartbeat: what is built of them, and what a reload does.

use super::*;
use crate::config::webhook::WebhookForm;

/// A file with a secret, and its path in quotes.
fn secret(text: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("writes");
    let path = format!("{:?}", file.path().display().to_string());
    (file, path)
}

#[test]
fn a_webhook_is_built_of_its_table() {
    let (_token, token) = secret("s3cr3t\n");
    let (_url, url) = secret("https://127.0.0.1:9/services/T0/s3cr3t\n");
    let text = format!(
        "[mail]\nto = \"webhook:chat, webhook:am, webhook:private\"\n\
         [webhook.chat]\nurl = \"http://hooks.example/x\"\n\
         [webhook.am]\nurl = \"http://127.0.0.1:9093/\"\nform = \"alertmanager\"\ntoken_file = {token}\n\
         [webhook.private]\nurl_file = {url}\nuser = \"anna\"\npassword_file = {token}\n"
    );
    let (_file, given) = file(&text);
    let settings = valid_settings(&given);
    let of = |name: &str| settings.webhook_configs.get(name).expect("is configured").clone();
    assert_eq!((of("chat").form, &*of("chat").target.path), (WebhookForm::Webhook, "/x"));
    assert!(of("chat").target.authorization.is_none() && of("chat").target.tls.is_none());
    assert_eq!(of("am").form, WebhookForm::Alertmanager);
    assert_eq!(of("am").target.path, "/api/v2/alerts");
    assert_eq!(
        of("am").target.authorization.as_ref().map(|it| it.as_bytes()),
        Some(&b"Bearer s3cr3t"[..])
    );
    assert_eq!(of("private").target.path, "/services/T0/s3cr3t");
    assert!(of("private").target.tls.is_some() && of("private").target.authorization.is_some());
    let shown = format!("{settings:?} {:?}", settings.effective());
    assert!(!shown.contains("s3cr3t"), "{shown}");
    // The core queues for them although there is no mail server.
    let recipients = settings.grid.mail().expect("there are receivers").recipients.clone();
    let recipients: Vec<_> = recipients.iter().map(|it| &**it).collect();
    assert_eq!(recipients, ["webhook:chat", "webhook:am", "webhook:private"]);
    assert!(settings.smtp.is_none() && settings.heartbeat_config.is_none());
}

#[test]
fn credentials_that_others_can_read_on_the_way_are_warned_of() {
    let (_token, token) = secret("s3cr3t");
    for (url, expected) in [
        ("http://hooks.example", 1),
        ("https://hooks.example", 0),
        ("http://127.0.0.1:1", 0),
        ("http://localhost", 0),
    ] {
        let (_file, given) = file(&format!("[webhook.a]\nurl = \"{url}\"\ntoken_file = {token}\n"));
        let warnings = valid_settings(&given).warnings();
        let found = warnings.iter().filter(|it| it.to_string().contains("unencrypted")).count();
        assert_eq!(found, expected, "{url}: {warnings:?}");
    }
}

#[test]
fn a_reload_adds_changes_and_removes_webhooks_at_once() {
    let (secret_file, token) = secret("one");
    let old = format!("[webhook.a]\nurl = \"http://a.example\"\ntoken_file = {token}\n");
    let (path, given) = file(&old);
    let effective = valid_settings(&given);
    std::fs::write(secret_file.path(), "two").expect("writes");
    std::fs::write(path.path(), format!("{old}[webhook.b]\nurl = \"http://b.example\"\n"))
        .expect("writes");
    let (effective, changes) = effective.reload(valid_settings(&given)).expect("is consistent");
    let keys: Vec<_> = changes.iter().map(|it| (it.key.as_str(), it.policy)).collect();
    assert!(keys.contains(&("webhook.a.token_file", ReloadPolicy::Live)), "{keys:?}");
    assert!(keys.contains(&("webhook.b.url", ReloadPolicy::Live)), "{keys:?}");
    let names: Vec<_> = effective.webhook_configs.keys().cloned().collect();
    assert_eq!(names, ["a", "b"]);
    std::fs::write(path.path(), "[heartbeat]\nurl = \"http://h.example\"\n").expect("writes");
    let (effective, changes) = effective.reload(valid_settings(&given)).expect("is consistent");
    assert!(effective.webhook_configs.is_empty() && effective.heartbeat_config.is_some());
    let gone = changes.iter().find(|it| it.key == "webhook.a.url").expect("is reported");
    assert_eq!((gone.before.as_deref(), &gone.after), (Some("http://a.example"), &None));
}

#[test]
fn sixteen_webhooks_are_enough() {
    let tables = |count: usize| -> String {
        (0..count).map(|at| format!("[webhook.w{at}]\nurl = \"http://a.example\"\n")).collect()
    };
    let (_file, given) = file(&tables(16));
    valid_settings(&given);
    let (_file, given) = file(&tables(17));
    let errors = Settings::new(&given).expect_err("too many").to_string();
    assert!(errors.contains("there are 17, and at most 16"), "{errors}");
}
