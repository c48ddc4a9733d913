//! Bodies that users write themselves.

use minijinja::{Environment, UndefinedBehavior, value::Serde};

use super::message::Message;

/// A template of a body.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    name: &'static str,
}

/// By its ending the engine knows what every value is to be.
const JSON: &str = "body.json";
const TEXT: &str = "body.txt";

impl Template {
    /// Parses `text`, and tries it. In JSON every value is a JSON value, with its quotes; in plain text it is what it is.
    ///
    /// # Errors
    ///
    /// What does not do about it.
    pub(super) fn new(text: &str, is_json: bool) -> Result<Self, String> {
        let mut environment = Environment::new();
        // It would leave a value without its quotes.
        environment.remove_filter("safe");
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let name = if is_json { JSON } else { TEXT };
        let parsed = environment.add_template_owned(name, text.to_owned());
        parsed.map_err(|error| error.to_string())?;
        let template = Self { environment, name };
        template.render(&Message::test("a \"b\" \\ c", 0))?;
        Ok(template)
    }

    /// The body for `message`.
    ///
    /// # Errors
    ///
    /// Returns an error if it names what there is not, or what comes out is not JSON though it should be.
    pub(super) fn render(&self, message: &Message) -> Result<String, String> {
        let template = self.environment.get_template(self.name);
        let body = template.and_then(|template| template.render(Serde(message)));
        let body = body.map_err(|error| error.to_string())?;
        if self.name == JSON {
            serde_json::from_str::<serde::de::IgnoredAny>(&body)
                .map_err(|error| format!("it makes no JSON (values bring their own quotes): {error}"))?;
        }
        Ok(body)
    }
}
