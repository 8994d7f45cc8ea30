//! The price of a model, such as `openai/gpt-5 1.25 0.125 10`.

use moxxy_types::money::Price;
use serde::Deserialize;

/// Handling of runs that have a cost limit and a model without a known price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownPrice {
    Deny,
    Warn,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct ModelPrice {
    pub provider: String,
    pub model: String,
    pub price: Price,
}

impl TryFrom<String> for ModelPrice {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (name, input, cached, written, output) = match words[..] {
            [name, input, cached, output] => (name, input, cached, None, output),
            [name, input, cached, written, output] => (name, input, cached, Some(written), output),
            _ => {
                return Err("a price is a provider, a slash and a model, then the prices of input, of input from the \
                            cache, if it differs of input that is written to the cache, and of output, as in \
                            openai/gpt-5 1.25 0.125 10");
            }
        };
        // The model is everything after the first slash, and may contain slashes itself.
        let (provider, model) = name.split_once('/').ok_or("a model is written behind its provider and a slash")?;
        let number = |text: &str| text.parse::<f64>().ok();
        let price = number(input).zip(number(cached)).zip(number(output));
        let written = written.map(|text| number(text).unwrap_or(f64::NAN));
        let price = price.and_then(|((input, cached), output)| Price::new(input, Some(cached), written, output));
        let price = price.ok_or("a price is 0 to 1000000 US dollars per million tokens")?;
        Ok(Self { provider: provider.to_owned(), model: model.to_owned(), price })
    }
}
