//! Values, placeholders and the text of places.

use super::{super::placeholder::split, *};

#[test]
fn values_have_bounds_and_are_not_shown() {
    assert!(Value::new(Vec::new()).is_err());
    assert!(Value::new(vec![0; Value::MAX_BYTES + 1]).is_err());
    let long = value(vec![7; Value::MAX_BYTES]);
    assert!(long == long.clone() && long != value("7"));
    assert_eq!(format!("{:?}", value("hunter2")), "Value");
}

#[test]
fn placeholders_are_letters_and_digits_of_one_length() {
    let (one, other) = (Placeholder::random().unwrap(), Placeholder::random().unwrap());
    assert_ne!(one, other);
    assert_eq!(one.as_str().len(), Placeholder::LENGTH_BYTES);
    assert!(one.as_str().starts_with("MOXXYSECRET"));
    assert!(one.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_eq!(one.digits(), &one.as_str()[11..]);
}

#[test]
fn placeholders_are_found_beside_pieces_of_them() {
    let placeholder = Placeholder::random().unwrap();
    let text = format!("MOXXYSECRET MOXXYSECRETMOXXYSECRET0{placeholder}f", placeholder = placeholder.as_str());
    let (before, found, after) = split(text.as_bytes()).unwrap();
    assert_eq!((before.len(), found, after), (35, placeholder.as_str(), &b"f"[..]));
    assert_eq!(split(&text.as_bytes()[..text.len() - 2]), None);
}

#[test]
fn places_are_written_as_manifests_write_them() {
    for text in ["header:x-api_key", "basic", "path", "query:Key", "body"] {
        assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
    }
    assert_eq!("header:Authorization".parse::<Place>().unwrap().to_string(), "header:authorization");
    let framing = ["header:Content-Length", "header:host", "header:Transfer-Encoding"];
    let odd = ["", "header", "header:", "header:a b", "query:", "query:a=b", "path:x", "Basic", "cookie"];
    for text in framing.iter().chain(&odd) {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
    let long = format!("query:{}", "x".repeat(65));
    assert!(long.parse::<Place>().is_err());
    let place: Place = serde_json::from_str("\"query:key\"").unwrap();
    assert_eq!(serde_json::to_string(&place).unwrap(), "\"query:key\"");
}

proptest! {
    #[test]
    fn a_place_that_is_read_is_written_the_same(text in any::<String>()) {
        if let Ok(place) = text.parse::<Place>() {
            prop_assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        }
    }
}
