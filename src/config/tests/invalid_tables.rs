//! Lists tables of routes and webhooks that are refused; the errors are in `mistakes.txt`.

/// Routes that are invalid in themselves or do not fit together; `MAIL` stands for a server and a
/// recipient.
pub(super) const INVALID_ROUTES: [&str; 28] = [
    "route = 5",
    "route.night = \"ops@example.org\"",
    "route.\"a b\".mute = true",
    "route.default.mute = true",
    "route.night.matcher = \"class=a\"",
    "route.night.matchers = \"clas=a\"",
    "route.night.matchers = \"class=a severity>warn\"",
    "route.night.matchers = \"kind=hang\"",
    "route.night.matchers = \"class=a class=b\"",
    "route.night.matchers = [\"class=a\"]",
    "MAIL\nroute.all.receivers = \"default\"\nroute.db.matchers = \"appliance=db*\"",
    "MAIL\nroute.grave.matchers = \"severity>=error\"\nroute.mild.matchers = \"severity<=warn\"\n\
     route.hung.matchers = \"kind=hung\"",
    "route.night.receivers = \"default\"",
    "route.night.receivers = \"ops@example.org\"",
    "MAIL\nroute.night.receivers = \"ops\"",
    "MAIL\nroute.night.receivers = \"\"",
    "MAIL\nroute.night.receivers = \"none, ops@example.org\"",
    "MAIL\nroute.night.receivers = \"webhook:chat\"",
    "MAIL\nroute.night.mute = true\nroute.night.receivers = \"default\"",
    "MAIL\nroute.night.mute = true\nroute.night.continue = true",
    "MAIL\nroute.night.quiet_hours = \"mo 22:00-07:00\"",
    "MAIL\nroute.night.quiet_hours = \"22:00-25:00\"",
    "MAIL\nroute.night.quiet_hours = \"00:00-24:00\"",
    "MAIL\nroute.night.quiet_hours = \"22:00\"",
    "MAIL\nroute.night.quiet_hours = \"22:00-07:00\"\nroute.night.quiet_zone = \"Mars/Base\"",
    "MAIL\nroute.night.quiet_zone = \"UTC\"",
    "MAIL\nroute.night.quiet_severity = \"error\"",
    "MAIL\nroute.night.quiet_severity = \"grave\"",
];

/// Webhooks and heartbeats that are invalid in themselves or do not fit together; `URL` stands for a
/// good one.
pub(super) const INVALID_WEBHOOKS: [&str; 19] = [
    "webhook = 5",
    "webhook.chat = \"https://hooks.example\"",
    "webhook.\"a b\".URL",
    "webhook.chat.form = \"webhook\"",
    "webhook.chat.url = \"hooks.example/s3cr3t\"",
    "webhook.chat.url = \"http://user:s3cr3t@hooks.example/\"",
    "webhook.chat.URL\nwebhook.chat.form = \"slack\"",
    "webhook.chat.URL\nwebhook.chat.token = \"s3cr3t\"",
    "webhook.chat.URL\nwebhook.chat.url_file = \"/dev/zero\"",
    "webhook.chat.URL\nwebhook.chat.token_file = \"/nowhere\"",
    "webhook.chat.URL\nwebhook.chat.user = \"anna\"",
    "webhook.chat.URL\nwebhook.chat.ca_file = \"/nowhere.pem\"",
    "webhook.chat.url = \"https://hooks.example\"\nwebhook.chat.ca_file = \"/nowhere.pem\"",
    "mail.to = \"webhook:chat\"",
    "mail.to = \"webhook:\"",
    "webhook.chat.URL\nmail.to = \"webhook:chat UTC\"",
    "webhook.chat.URL\nmail.to = \"webhook:chat, anna@example.org\"",
    "heartbeat.url = \"https://hooks.example:0/s3cr3t\"",
    "heartbeat.URL\nheartbeat.ca_file = \"/nowhere.pem\"",
];
