//! Tests of connections with TLS to small servers: what is trusted, what is refused, and each sentence.

mod client_certificates;
mod server;
mod status;

use server::{Authority, ClientAuth, Leaf, TestServer, VERSIONS};
use tonic::Request;

use super::*;
use crate::contract::proto::GetStatusRequest;
use crate::contract::proto::broker_service_client::BrokerServiceClient;
use crate::grid::values::identity::KeyHash;
use crate::identity::token::{NewToken, TokenKind};
use crate::test_timeout::timeout;

const CLOCK: &str = "the clock of this host shows ";

/// The error of connecting and calling; without one the server replies `hello TOKEN` as NOT_FOUND.
async fn call(options: &ConnectOptions) -> ClientError {
    let called = async {
        let channel = match options.connect().await {
            Ok(channel) => channel,
            Err(error) => return error,
        };
        call_on(&channel, &options.address).await
    };
    tokio::time::timeout(timeout(), called).await.expect("a reply in time")
}

async fn call_on(channel: &BrokerChannel, address: &str) -> ClientError {
    let mut client = BrokerServiceClient::new(channel.clone());
    let reply = client.get_status(Request::new(GetStatusRequest {})).await;
    ClientError::from_status(address, reply.expect_err("the server has no reply"))
}

/// The error's text with `NOW` for our clock.
async fn sentence(options: &ConnectOptions) -> String {
    without_clock(&call(options).await)
}

fn without_clock(error: &ClientError) -> String {
    let text = error.to_string();
    match text.split_once(CLOCK) {
        None => text,
        Some((before, after)) => {
            let end = after.find('Z').expect("a time") + 1;
            assert!(after[..end].parse::<jiff::Timestamp>().is_ok(), "{text}");
            format!("{before}{CLOCK}NOW{}", &after[end..])
        }
    }
}

fn options(server: &TestServer, trust: ServerTrust) -> ConnectOptions {
    let address = server.address.clone();
    ConnectOptions { address, trust, credential: ClientCredential::None }
}

fn assert_connected(text: &str) {
    assert_eq!(text, "hello ");
}

#[tokio::test]
async fn a_pinned_broker_is_reached_under_any_name_and_gets_the_token() {
    for version in VERSIONS {
        let authority = Authority::new("Grid Broker CA 6cf3a5c0-ff4f-4c1e-8f0b-3a4b7d2e9a10");
        let leaf = Leaf { names: &["elsewhere.example.org"], ..Leaf::default() };
        let server = TestServer::start(version, authority.certify(&leaf), ClientAuth::Off).await;
        let token = NewToken::generate(TokenKind::Appliance, None).expect("a token");
        let credential = ClientCredential::Token(TokenText::new(token.text()).expect("a token"));
        let trust = ServerTrust::Pin(authority.pin());
        let options = ConnectOptions { credential, ..options(&server, trust) };
        let error = call(&options).await;
        assert_eq!(error.to_string(), format!("hello Bearer {}", token.text()));
        assert_eq!(error.exit_code(), ExitCode::NotFound);
    }
}

#[tokio::test]
async fn a_pinned_ca_of_others_is_no_leave_to_answer_as_the_broker() {
    for version in VERSIONS {
        let authority = Authority::new("Corporate CA");
        let leaf = Leaf { names: &["elsewhere.example.org"], ..Leaf::default() };
        let server = TestServer::start(version, authority.certify(&leaf), ClientAuth::Off).await;
        let trust = ServerTrust::Pin(authority.pin());
        let said = sentence(&options(&server, trust.clone())).await;
        assert!(
            said.contains("is not valid for 127.0.0.1, but for elsewhere.example.org"),
            "{said}"
        );
        let chain = authority.certify(&Leaf::default());
        let server = TestServer::start(version, chain, ClientAuth::Off).await;
        assert_connected(&sentence(&options(&server, trust)).await);
    }
}

#[tokio::test]
async fn a_pinned_end_entity_is_reached() {
    for version in VERSIONS {
        let chain = Authority::self_signed(&Leaf::default());
        let pin = chain.pin();
        let server = TestServer::start(version, chain, ClientAuth::Off).await;
        assert_connected(&sentence(&options(&server, ServerTrust::Pin(pin))).await);
    }
}

#[tokio::test]
async fn another_pin_is_named_beside_the_expected_one() {
    for version in VERSIONS {
        let authority = Authority::new("CA");
        let chain = authority.certify(&Leaf::default());
        let server = TestServer::start(version, chain, ClientAuth::Off).await;
        let expected = KeyHash([7; 32]);
        let error = call(&options(&server, ServerTrust::Pin(expected))).await;
        assert_eq!(
            error.to_string(),
            format!(
                "the broker at {} is not the one that is expected: the pin of its CA is {}, and not \
                 {expected}; ask its administrator which is right, and send nothing before that",
                server.address,
                authority.pin()
            )
        );
        assert_eq!(error.exit_code(), ExitCode::Unavailable);
        assert!(error.is_retryable() && !error.is_about_credential());
    }
}

#[tokio::test]
async fn the_pinned_certificate_in_the_chain_of_another_ca_convinces_nobody() {
    for version in VERSIONS {
        let (real, forged) = (Authority::new("CA"), Authority::new("CA"));
        let mut chain = forged.certify(&Leaf::default());
        chain.certificates.pop();
        chain.certificates.push(real.der());
        let server = TestServer::start(version, chain, ClientAuth::Off).await;
        let text = sentence(&options(&server, ServerTrust::Pin(real.pin()))).await;
        let begin = format!(
            "the certificate of the broker at {} is not signed by the pinned CA; ask the \
             administrator of the broker, and send nothing before that (",
            server.address
        );
        assert!(text.starts_with(&begin), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_shown_with_both_clocks() {
    let ended = "ended at 2021-01-02T00:00:00Z, and the clock of this host shows NOW; if that is \
                 right, the broker needs a new certificate (gridd renews its own while it runs) \
                 (Expired)";
    let not_yet = "is valid from 2126-01-02T00:00:00Z on, and the clock of this host shows NOW; one \
                   of the two clocks is wrong (NotValidYet)";
    for version in VERSIONS {
        for (years, rest) in [((2020, 2021), ended), ((2126, 2127), not_yet)] {
            let whole = (1990, 2190);
            // The end entity, or the pinned CA.
            for (of_authority, of_leaf) in [(whole, years), (years, whole)] {
                let authority = Authority::with_years("CA", of_authority);
                let leaf = Leaf { years: of_leaf, ..Leaf::default() };
                let chain = authority.certify(&leaf);
                let server = TestServer::start(version, chain, ClientAuth::Off).await;
                let trust = ServerTrust::Pin(authority.pin());
                let expected =
                    format!("the certificate of the broker at {} {rest}", server.address);
                assert_eq!(sentence(&options(&server, trust)).await, expected);
            }
            let chain = Authority::self_signed(&Leaf { years, ..Leaf::default() });
            let trust = ServerTrust::Pin(chain.pin());
            let server = TestServer::start(version, chain, ClientAuth::Off).await;
            let expected = format!("the certificate of the broker at {} {rest}", server.address);
            assert_eq!(sentence(&options(&server, trust)).await, expected);
        }
    }
}

#[tokio::test]
async fn a_certificate_of_a_client_is_no_servers() {
    for version in VERSIONS {
        let authority = Authority::new("CA");
        let leaf = Leaf { is_client: true, ..Leaf::default() };
        for chain in [authority.certify(&leaf), Authority::self_signed(&leaf)] {
            let trust = ServerTrust::Pin(chain.pin());
            let server = TestServer::start(version, chain, ClientAuth::Off).await;
            let expected = format!(
                "the certificate of the broker at {} is not valid for a server; give the broker \
                 another one (InvalidPurpose)",
                server.address
            );
            assert_eq!(sentence(&options(&server, trust)).await, expected);
        }
    }
}

#[tokio::test]
async fn a_ca_file_compares_the_name() {
    for version in VERSIONS {
        let authority = Authority::new("CA");
        let chain = authority.certify(&Leaf::default());
        let server = TestServer::start(version, chain, ClientAuth::Off).await;
        let trust = ServerTrust::CaFile(server.write("ca.pem", &authority.pem()));
        assert_connected(&sentence(&options(&server, trust.clone())).await);

        let leaf = Leaf { names: &["a.example.org", "10.0.0.1"], ..Leaf::default() };
        let other = TestServer::start(version, authority.certify(&leaf), ClientAuth::Off).await;
        assert_eq!(
            sentence(&options(&other, trust)).await,
            format!(
                "the certificate of the broker at {} is not valid for 127.0.0.1, but for \
                 a.example.org, 10.0.0.1; use one of these names, or add 127.0.0.1 to the setting \
                 hosts of gridd (NotValidForName)",
                other.address
            )
        );
        let path = server.write("other.pem", &Authority::new("other").pem());
        assert_eq!(
            sentence(&options(&server, ServerTrust::CaFile(path.clone()))).await,
            format!(
                "the certificate of the broker at {} is not signed by a CA in {}; put the \
                 certificate of the CA that signed it there, or correct the address (UnknownIssuer)",
                server.address,
                path.display()
            )
        );
        assert_eq!(
            sentence(&options(&server, ServerTrust::ByAddress)).await,
            format!(
                "the certificate of the broker at {} is not signed by a CA that this host trusts; \
                 give the broker's CA file or pin (UnknownIssuer)",
                server.address
            )
        );
    }
}

#[tokio::test]
async fn a_server_without_tls_and_a_client_without_tls_are_named() {
    let plain = TestServer::start_plain().await;
    for (address, trust) in [
        (plain.address.replace("http://", "https://"), ServerTrust::ByAddress),
        (plain.address.replace("http://", ""), ServerTrust::Pin(KeyHash([7; 32]))),
    ] {
        let options = ConnectOptions { trust, ..ConnectOptions::new(address.clone()) };
        assert_eq!(
            sentence(&options).await,
            format!(
                "what answers at {address} does not speak TLS; if it is a gridd without TLS, write \
                 its address without https:// and give neither CA file nor pin, else correct the \
                 address"
            )
        );
    }
    for version in VERSIONS {
        let chain = Authority::new("CA").certify(&Leaf::default());
        let server = TestServer::start(version, chain, ClientAuth::Off).await;
        let address = server.address.replace("https://", "");
        let error = call(&ConnectOptions::new(address.clone())).await.diagnose().await;
        assert_eq!(
            error.to_string(),
            format!(
                "what answers at {address} speaks TLS, and was addressed without; write \
                 https://{address}, or give the broker's CA file or pin"
            )
        );
    }
}

#[tokio::test]
async fn a_tls_server_without_http2_is_not_gridd() {
    for version in VERSIONS {
        for protocols in [&[][..], &[b"http/1.1".to_vec()]] {
            let authority = Authority::new("CA");
            let chain = authority.certify(&Leaf::default());
            let server = TestServer::start_with(version, chain, ClientAuth::Off, protocols).await;
            assert_eq!(
                sentence(&options(&server, ServerTrust::Pin(authority.pin()))).await,
                format!(
                    "what answers at {} speaks TLS, but not HTTP/2, so it is not gridd; correct the \
                     address",
                    server.address
                )
            );
        }
    }
}
