//! Mails that shrink as trouble grows: their size, their order, what they count, and the summary.

use super::*;

/// 300 alerts, no two of one kind or appliance: 32 in full, 256 as lines, 12 as a number.
fn everything_at_once(name: impl Fn(usize) -> String, text: &str) -> MailMessage {
    let of = |n: usize| {
        let mut notice = notice(&name(n), &format!("matter {n}"), text);
        (notice.at, notice.since) = (at(n as u64), Some(at(0)));
        (notice.alert, notice.count) = (Some(AlertId(n as u64 + 1)), 7);
        notice.class = "web".into();
        notice
    };
    let mut message = message((0..NOTICES_MAX).map(of).collect());
    message.briefs = (NOTICES_MAX..288).map(|n| BriefNotice::from(&of(n))).collect();
    message.omitted = 268;
    message
}

#[test]
fn the_largest_mail_has_16_kb_of_text_and_of_html() {
    let long = "größer als alles, was hier steht; ".repeat(120);
    let evil = "\u{202e}<&>'\"".repeat(400);
    let mut style = smtp_config().style;
    style.public_url = "https://grid.example.org".to_owned();
    let short_names = everything_at_once(|n| format!("s.w{n}"), &long);
    let long_names = everything_at_once(|n| format!("{n}{}", "x".repeat(124)), &long);
    // Names of appliances have letters, digits and few signs.
    let evil_texts = everything_at_once(|n| format!("s.w{n}"), &evil);
    let mut crowd = long_names.clone();
    for (n, notice) in crowd.notices.iter_mut().enumerate() {
        notice.topic = ["no_contact", "start_failed", "hung"][n % 3].into();
    }
    crowd.briefs.iter_mut().for_each(|it| it.topic = "no_contact".into());
    for message in [
        &short_names,
        &long_names,
        &evil_texts,
        &crowd,
        &power_cut(),
        &many_notices(),
        &digest_message(),
        &fatal_among_others(),
    ] {
        let (_, text, html) = fit_to_size(message, &origin(), &style);
        let largest = text.len().max(html.len());
        assert!(largest <= BODY_BYTES_MAX, "{} and {}:\n{text}", text.len(), html.len());
        let mut over = message.clone();
        over.notices.iter_mut().for_each(|it| it.is_resolved = true);
        over.briefs.iter_mut().for_each(|it| it.is_resolved = true);
        let (_, text, html) = fit_to_size(&over, &origin(), &style);
        let largest = text.len().max(html.len());
        assert!(largest <= BODY_BYTES_MAX, "{} and {}:\n{text}", text.len(), html.len());
    }
    let (_, text, _) = fit_to_size(&short_names, &origin(), &style);
    assert!((0..288).all(|n| text.contains(&format!("s.w{n}"))), "{text}");
    assert!(text.starts_with("* 12 notices more did not fit into this mail"), "{text}");
}

#[test]
fn one_cause_is_counted_by_prefix_class_and_reason_and_names_all() {
    let mut cut = power_cut();
    cut.notices[3].text = "no contact with shop:main.web3 for 9 min, agent ended".into();
    let (view, text, html) = fit_to_size(&cut, &origin(), &smtp_config().style);
    assert_eq!(
        view.subject,
        "[grid] warn: 120 appliances (shop:main.web0 ...): lost contacts: no contact for 2 min"
    );
    assert!(text.starts_with("# 120 no_contact\n"), "{text}");
    assert!(
        text.contains("  where       80 shop:main.web* (class web), 40 lab:ci.runner*\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "  reasons     31 no contact for # min, 1 no contact for # min, agent ended\n"
        ),
        "{text}"
    );
    for part in [&text, &html] {
        assert!((0..80).all(|n| part.contains(&format!("shop:main.web{n}"))), "{part}");
        assert!((80..120).all(|n| part.contains(&format!("lab:ci.runner{n}"))), "{part}");
    }
    assert_eq!(
        text.matches("gridctl").count(),
        2,
        "one hint and one command, not one for each: {text}"
    );
    cut.briefs.retain(|it| !it.class.is_empty());
    cut.omitted = cut.briefs.len() as u64;
    let (_, text, _) = fit_to_size(&cut, &origin(), &smtp_config().style);
    assert!(text.starts_with("# 80 no_contact of shop:main.web* (class web)\n"), "{text}");
}

#[test]
fn the_most_severe_comes_first_and_each_appliance_once() {
    let (view, text, _) = fit_to_size(&fatal_among_others(), &origin(), &smtp_config().style);
    assert_eq!(
        view.subject,
        "[grid] fatal: shop:main.db1: RAID has lost its last mirror \
         (+10 more: 9 start_failed, 1 alert)"
    );
    let blocks: Vec<_> = text.lines().filter(|line| line.starts_with("# ")).collect();
    assert_eq!(blocks.len(), 3, "{text}");
    assert!(blocks[0].starts_with("# shop:main.db1"), "{text}");
    assert!(!text.contains("says so itself"), "{text}");
}

#[test]
fn what_is_over_follows_what_is_open_and_a_notice_tells_its_history() {
    let mut message = fatal_among_others();
    message.notices[0].is_resolved = true;
    message.notices[5].severity = Severity::Warn;
    let raid = &mut message.notices[5];
    (raid.alert, raid.class) = (Some(AlertId(41)), "db".into());
    (raid.since, raid.count, raid.acknowledged) = (Some(at(0)), 17, true);
    raid.at = at(60);
    let (_, text, _) = fit_to_size(&message, &origin(), &smtp_config().style);
    let over = text.find("# over: 1\n").expect("a section of what is over");
    assert!(text.rfind("# shop:main").is_some_and(|open| open < over), "{text}");
    let only = MailMessage { notices: vec![message.notices.remove(5)], ..message };
    let (_, text, _) = fit_to_size(&only, &origin(), &smtp_config().style);
    for fact in [
        "  where       shop:main.db1 (class db)\n",
        "  since       2026-11-20 14:28:49 +01:00\n  last        2026-11-20 14:29:49 +01:00\n",
        "  reported    17 times in all\n",
        "  state       acknowledged\n",
        "  alert       41\n",
    ] {
        assert!(text.contains(fact), "{fact} is not in:\n{text}");
    }
}

#[test]
fn a_summary_lists_what_is_open_with_its_age() {
    let mut message = fatal_among_others();
    for (n, notice) in message.notices.iter_mut().enumerate() {
        notice.since = Some(message.queued_at.before(Duration::from_secs(3_600 * n as u64)));
    }
    let mut marker = notice("", SUMMARY, "what is open");
    (marker.severity, marker.count) = (Severity::Info, 20);
    message.notices.insert(0, marker.clone());
    let (view, text, _) = fit_to_size(&message, &origin(), &smtp_config().style);
    assert_eq!(
        view.subject,
        "[grid] summary: 20 alerts open: 1 fatal, 10 error; shop:main.db1: RAID has lost its last mirror"
    );
    assert!(text.starts_with("# open: 20 alerts\n"), "{text}");
    let rows: Vec<_> = text.lines().filter(|line| line.contains("shop:main.")).collect();
    assert_eq!(rows.len(), 11, "{text}");
    assert!(rows[0].starts_with("  fatal ") && rows[0].ends_with(" 5 h"), "{text}");
    assert!(text.contains("  - 9 open alerts more, not listed here\n"), "{text}");
    let nothing = MailMessage { notices: vec![Notice { count: 0, ..marker }], ..message };
    let (view, text, _) = fit_to_size(&nothing, &origin(), &smtp_config().style);
    assert_eq!(view.subject, "[grid] summary: no alert is open");
    assert!(text.starts_with("# no alert is open\n"), "{text}");
}

#[test]
fn each_open_alert_has_a_link_that_lasts_seven_days_and_a_group_has_one_for_all() {
    let mut style = smtp_config().style;
    let mut message = power_cut();
    for (n, brief) in message.briefs.iter_mut().enumerate() {
        brief.alert = Some(AlertId(n as u64 + 100));
    }
    for (n, notice) in message.notices.iter_mut().enumerate() {
        notice.alert = Some(AlertId(n as u64 + 1));
        notice.acknowledged = n == 7;
    }
    message.notices[3].topic = "raid:md0".into();
    message.notices[4].topic = "raid:md1".into();
    message.notices[4].is_resolved = true;
    let (_, text, html) = fit_to_size(&message, &origin(), &style);
    assert!(!text.contains("/ack/") && !html.contains("href"), "links are off: {text}");
    style.public_url = "https://grid.example.org".to_owned();
    let (_, text, html) = fit_to_size(&message, &origin(), &style);
    let links: Vec<_> =
        text.lines().filter_map(|it| it.split_once("https://grid.example.org/ack/")).collect();
    assert_eq!(links.len(), 2, "{text}");
    let key = origin().ack_key.expect("a key");
    let last = message.queued_at.after(Duration::from_secs(7 * 86_400 - 2));
    let granted = links.iter().map(|(_, token)| key.verify(token, last).expect("is valid"));
    let mut granted: Vec<_> = granted.collect();
    granted.sort_by_key(|it| it.alerts.len());
    assert_eq!(granted[0].alerts, [AlertId(4)]);
    assert_eq!(granted[1].alerts.len(), 117, "neither resolved nor acknowledged ones");
    assert_eq!(&*granted[1].receiver, "alice@example.org");
    assert!(links.iter().all(|(_, token)| html.contains(&format!("/ack/{token}\">"))), "{html}");
}
