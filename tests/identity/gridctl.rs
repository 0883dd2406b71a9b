//! gridctl with the real broker: administrators, tokens, enrolment and renewal.

use grid_broker::identity::token::{self, TokenKind};
use serde_json::Value;

use crate::broker::Broker;
use crate::scripted_broker::User;
use crate::support::{Run, eventually, holds};

/// The first administrator, logged in.
async fn first_administrator(broker: &Broker) -> User {
    let user = User::new();
    user.write("token", broker.admin.expose());
    log_in(&user, broker).await.done();
    user
}

/// Logs in with the file `token` of the user.
async fn log_in(user: &User, broker: &Broker) -> Run {
    let file = user.path("token").display().to_string();
    let (address, pin) = (&broker.gridd.grpc, broker.pin());
    user.gridctl(&format!("login {address} --token-file {file} --pin {pin}")).await
}

async fn json(user: &User, line: &str) -> Value {
    let text = user.gridctl(&format!("{line} --output json")).await.done();
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_is_created_logs_in_is_refused_and_is_removed() {
    let broker = Broker::with_tls("").await;
    let admin = first_administrator(&broker).await;
    let line = "admin create ann --role viewer --valid 90d";
    let created = admin.gridctl(line).await;
    assert!(created.stderr.contains("ann is created with the role viewer (record "), "{created:?}");
    let text = created.done();
    assert_eq!(token::parse(text.trim()).expect("a token").kind, TokenKind::Administrator);
    let ann = User::new();
    ann.write("token", &text);
    let said = log_in(&ann, &broker).await.done();
    assert!(said.contains("as ann, administrator with the role viewer (token "), "{said}");
    ann.gridctl("appliance list").await.done();
    let refused = ann.gridctl("admin list").await;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let words = [
        "ann (viewer) may not do this: it needs an administrator with the role admin\n",
        "you are ann, administrator with the role viewer (token ",
    ];
    assert!(words.iter().all(|it| refused.stderr.contains(it)), "{refused:?}");
    admin.gridctl("admin set ann --role admin").await.done();
    assert_eq!(json(&ann, "admin list").await.as_array().map(Vec::len), Some(2));
    admin.gridctl("admin remove ann").await.done();
    let refused = ann.gridctl("whoami").await;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let (host, _) = broker.gridd.grpc.rsplit_once(':').expect("a port");
    let words = format!("the credential of context {host} was sent: it is revoked, has ended");
    assert!(refused.stderr.contains(&words), "{refused:?}");
    let log = admin.gridctl("log list --kind security --limit 100").await.done();
    assert!(log.contains("ann") && log.contains("security"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_created_rotated_and_revoked() {
    let broker = Broker::with_tls("").await;
    let admin = first_administrator(&broker).await;
    let refused = admin.gridctl("token create --appliance db1").await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(7), ""), "{refused:?}");
    admin.gridctl("appliance add db1").await.done();
    let created = json(&admin, "token create --appliance db1 --valid 90d").await;
    let id = created["info"]["id"].as_str().expect("an id").to_owned();
    let rotated = admin.gridctl(&format!("token rotate {id} -q")).await.done();
    assert_ne!(rotated.trim(), created["token"]);
    assert_eq!(token::parse(rotated.trim()).expect("a token").id.as_str(), id);
    let listed = admin.gridctl("token list").await.done();
    assert!(listed.contains(&id) && listed.contains("appliance db1"), "{listed}");
    assert!(!listed.contains(&rotated.trim()[13..]), "no list has a secret");
    admin.gridctl(&format!("token revoke {id}")).await.done();
    assert_eq!(admin.gridctl(&format!("token revoke {id}")).await.code, Some(7));
    let refused = admin.gridctl("token create --administrator nobody").await;
    assert_eq!(refused.code, Some(7), "{refused:?}");
    let refused = admin.gridctl("appliance enrol db1 --valid 8d").await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.starts_with("gridctl: --valid: is longer than 7 days"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_names_gets_a_token_each_and_a_revoked_name_is_listed() {
    let broker = Broker::with_tls("").await;
    let admin = first_administrator(&broker).await;
    let names = admin.write("names", "db1\ndb2 default\n");
    let text = admin.gridctl(&format!("appliance enrol --many {names}")).await.done();
    let lines: Vec<_> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(lines.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["db1", "db2"]);
    for (_, text) in lines {
        assert_eq!(token::parse(text).expect("a token").pin, Some(broker.pin()));
    }
    let names = admin.write("names", "db3\ndb4 nosuchclass\n");
    let said = admin.gridctl(&format!("appliance enrol --many {names}")).await;
    assert_ne!(said.code, Some(0));
    assert!(said.stdout.starts_with("db3 gbe_") && said.stdout.lines().count() == 1, "{said:?}");
    assert!(said.stderr.contains("gridctl: db4: ") && said.stderr.contains("1 of 2 failed"));
    admin.gridctl("appliance revoke db1").await.done();
    let keys = json(&admin, "key list").await;
    assert_eq!((&keys[0]["name"], &keys[0]["attention"]), (&"db1".into(), &"revoked".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_an_administrator_is_renewed_by_the_next_command_also_after_its_end() {
    let broker = Broker::with_tls("[certificates]\nlifetime = \"10s\"\n").await;
    let admin = first_administrator(&broker).await;
    let text = admin.gridctl("admin create bob --role viewer --certificate -q").await.done();
    let bob = User::new();
    bob.write("token", &text);
    log_in(&bob, &broker).await.done();
    let serial = async || {
        let keys = json(&admin, "key list").await;
        keys[0]["serial"].as_str().expect("a serial number").to_owned()
    };
    // Any command renews it: first while it is valid, then after its end.
    let mut known = serial().await;
    for _ in 0..2 {
        known = eventually("a renewal", async || {
            bob.gridctl("appliance list").await.done();
            Some(serial().await).filter(|serial| *serial != known)
        })
        .await;
    }
    let ended = async || json(&admin, "key list").await[0]["attention"] == "ended";
    holds("the end of the certificate", ended).await;
    bob.gridctl("appliance list").await.done();
    assert_ne!(serial().await, known, "a certificate that has ended is renewed");
}
