//! Tests that what a gridd never writes, or a newer one writes, is refused in plain words.

use prost::Message;

use super::tests::record;
use super::*;
use crate::grid::log::input::Input;

#[test]
fn an_unknown_effect_or_input_is_refused_as_newer() {
    let mut newer = record_bytes::to_message(&record(Input::BrokerStopped, Vec::new()));
    newer.effects.push(proto::Effect { change: None });
    let refused = decode_record(&newer.encode_to_vec());
    assert_eq!(refused, Err(DecodeError::Newer { what: "an effect" }));
    newer.effects.clear();
    newer.input = None;
    let refused = decode_record(&newer.encode_to_vec()).expect_err("is not understood");
    assert_eq!(
        refused.to_string(),
        "an input is unknown: written by a newer gridd, which must be used to read it"
    );
}

#[test]
fn a_value_that_no_gridd_writes_is_refused() {
    let number = 1;
    let appliance = proto::ApplianceState { number, name: "a b".into(), ..Default::default() };
    let change = Some(proto::effect::Change::Appliance(appliance));
    let mut written = record_bytes::to_message(&record(Input::BrokerStopped, Vec::new()));
    written.effects.push(proto::Effect { change });
    let refused = decode_record(&written.encode_to_vec());
    assert_eq!(refused, Err(DecodeError::Impossible { what: "an appliance's name" }));
    assert!(matches!(decode_record(&[0xff; 9]), Err(DecodeError::Malformed(_))));
}
