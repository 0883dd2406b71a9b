//! The page of a link: what it shows, what changes, and what it refuses.

use std::sync::Mutex;

use super::*;

/// Alert 1 is open, 2 is acknowledged, 3 is resolved; others are unknown. Records what is ordered.
#[derive(Default)]
struct ScriptedAlerts {
    now: Timestamp,
    ordered: Mutex<Vec<AckOrder>>,
    refuses: bool,
}

impl AcknowledgesAlerts for ScriptedAlerts {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn describe(&self, alerts: Vec<AlertId>) -> Answering<Vec<LinkedAlert>> {
        let state = |id: AlertId| match id.0 {
            1 => LinkedAlertState::Open,
            2 => LinkedAlertState::Acknowledged("bob".to_owned()),
            3 => LinkedAlertState::Resolved,
            _ => LinkedAlertState::Unknown,
        };
        let describe = |id: AlertId| LinkedAlert {
            id,
            appliance: "shop:main.db1".to_owned(),
            severity: Severity::Fatal,
            text: "RAID <script>alert(1)</script>\u{202e} lost".to_owned(),
            since: "2026-11-20 14:02:10Z".to_owned(),
            state: state(id),
        };
        let described = alerts.into_iter().map(describe).collect();
        Box::pin(async move { Ok(described) })
    }

    fn acknowledge(&self, order: AckOrder) -> Answering<Vec<AckRefusal>> {
        self.ordered.lock().unwrap().push(order);
        let refused = self.refuses.then(|| (AlertId(1), "it is over".to_owned()));
        Box::pin(async move { Ok(refused.into_iter().collect()) })
    }
}

fn key() -> AckKey {
    AckKey::from_bytes(&[3; 32])
}

fn token(alerts: &[u64]) -> String {
    let grant = AckGrant {
        alerts: alerts.iter().map(|it| AlertId(*it)).collect(),
        receiver: "alice@example.org".into(),
        expires_at: Timestamp::from_micros(1_000_000_000),
    };
    key().sign(&grant).unwrap()
}

async fn html(response: Response) -> (StatusCode, String) {
    let status = response.status();
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; form-action 'self'"), "{policy}");
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_get_shows_the_alerts_with_a_button_and_changes_nothing() {
    let alerts = Arc::new(ScriptedAlerts::default());
    let served = AckPage::new(key(), alerts.clone());
    let (status, page) = html(served.show(&token(&[1, 2, 3, 4])).await).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("alert 1, fatal, shop:main.db1: RAID &lt;script&gt;"), "{page}");
    assert!(!page.contains("<script") && !page.contains('\u{202e}'), "{page}");
    assert!(page.contains("acknowledged by bob") && page.contains("resolved"), "{page}");
    assert!(
        page.contains("<form method=\"post\">") && page.contains("Acknowledge 1 alert"),
        "{page}"
    );
    assert!(page.contains("as alice@example.org"), "{page}");
    assert_eq!(*alerts.ordered.lock().unwrap(), []);
}

#[tokio::test]
async fn a_post_acknowledges_what_is_open_in_the_name_of_the_receiver() {
    let alerts = Arc::new(ScriptedAlerts::default());
    let served = AckPage::new(key(), alerts.clone());
    let response = served.acknowledge(&token(&[1, 2, 3]), "disk ordered".to_owned()).await;
    let (status, page) = html(response).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("1 alert acknowledged."), "{page}");
    let order = AckOrder {
        alerts: vec![AlertId(1)],
        receiver: "alice@example.org".to_owned(),
        note: "disk ordered".to_owned(),
    };
    assert_eq!(*alerts.ordered.lock().unwrap(), [order]);

    let refusing = Arc::new(ScriptedAlerts { refuses: true, ..ScriptedAlerts::default() });
    let response = AckPage::new(key(), refusing).acknowledge(&token(&[1]), String::new()).await;
    let (status, page) = html(response).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(page.contains("Alert 1 was not acknowledged: it is over"), "{page}");
}

#[tokio::test]
async fn a_wrong_expired_or_used_link_says_what_and_why_and_does_nothing() {
    let late = Timestamp::from_micros(1_000_000_000);
    let cut = token(&[1])[..20].to_owned();
    for (now, token, status, reason) in [
        (Timestamp::EPOCH, cut, StatusCode::NOT_FOUND, "not one of this broker"),
        (Timestamp::EPOCH, "x".to_owned(), StatusCode::NOT_FOUND, "copy the whole link"),
        (late, token(&[1]), StatusCode::GONE, "links are valid for seven days"),
        (Timestamp::EPOCH, token(&[2, 3]), StatusCode::GONE, "is open and unacknowledged"),
    ] {
        let alerts = Arc::new(ScriptedAlerts { now, ..ScriptedAlerts::default() });
        let served = AckPage::new(key(), alerts.clone());
        let shown = html(served.show(&token).await).await;
        let done = html(served.acknowledge(&token, String::new()).await).await;
        for (got, page) in [shown, done] {
            assert_eq!(got, status, "{page}");
            assert!(page.contains(reason) && !page.contains("<form"), "{page}");
        }
        assert_eq!(*alerts.ordered.lock().unwrap(), []);
    }
}

#[tokio::test]
async fn only_a_small_form_is_read() {
    let form = |kind: &'static str, body: String| async move {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
        note_of(&headers.into_iter().collect(), Body::from(body)).await
    };
    let plain = "application/x-www-form-urlencoded; charset=utf-8";
    let note = form(plain, "note=disk+ordered%2C+%C3%BCber+Nacht&x=1".to_owned()).await;
    assert_eq!(note, Ok("disk ordered, über Nacht".to_owned()));
    assert_eq!(form(plain, String::new()).await, Ok(String::new()));
    for (kind, body, status) in [
        ("text/plain", "note=a".to_owned(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (plain, format!("note={}", "a".repeat(9_000)), StatusCode::PAYLOAD_TOO_LARGE),
        (plain, format!("note={}", "a".repeat(501)), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(form(kind, body).await.unwrap_err().0, status);
    }
}
