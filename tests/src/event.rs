//! Events for the tests, as the TOML that an organiser would write.

use std::fmt::Write as _;

/// An event file in the making.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its slug.
    pub slug: String,
    toml: String,
    limits: String,
    rest: String,
}

impl Event {
    /// The event of most tests: one image or more, `vote` as an answer, and the check `config`
    /// of `GET /getconfig` that must tell the participant's name and vote. Its limits are short, so
    /// that a test of them does not take long.
    #[must_use]
    pub fn config() -> Self {
        Self::with_check(
            "\"any\"",
            &[
                "{ path = \"$.name\", equals = \"{participant.name}\" }",
                "{ path = \"$.vote\", equals = \"{answers.vote}\" }",
            ],
        )
    }

    /// The same, with other rules about the JSON of the images that are asked (`"any"`, `"all"`
    /// or an index, as it stands in the file).
    #[must_use]
    pub fn with_check(image: &str, json: &[&str]) -> Self {
        let mut rest =
            String::from("\n[[answers]]\nname = \"vote\"\none_of = [\"Cats\", \"Dogs\"]\n");
        // Writing to a String cannot fail.
        let _ = write!(
            rest,
            "\n[[checks]]\nname = \"config\"\nimage = {image}\nget = \"/getconfig\"\nstatus = 200\njson = [\n  {},\n]\n",
            json.join(",\n  ")
        );
        Self {
            slug: "birthday-3".to_owned(),
            toml: "title = \"Docker Birthday #3\"\n".to_owned(),
            limits: "ready_s = 4\nrequest_s = 2\n".to_owned(),
            rest,
        }
    }

    /// An event with this check, as it stands in a file.
    #[must_use]
    pub fn checked(check: &str) -> Self {
        Self { rest: format!("\n{check}"), ..Self::with_check("\"any\"", &[]) }
    }

    /// With another slug.
    #[must_use]
    pub fn slug(self, slug: &str) -> Self {
        Self { slug: slug.to_owned(), ..self }
    }

    /// With one more answer of a participant's, in free text.
    #[must_use]
    pub fn answer(mut self, name: &str) -> Self {
        let _ = write!(self.rest, "\n[[answers]]\nname = \"{name}\"\n");
        self
    }

    /// With the profile `strict`.
    #[must_use]
    pub fn strict(self) -> Self {
        self.field("profile = \"strict\"")
    }

    /// With another line at the top, such as `closes = 2020-01-01T00:00:00Z`.
    #[must_use]
    pub fn field(mut self, line: &str) -> Self {
        self.toml.push_str(line);
        self.toml.push('\n');
        self
    }

    /// With these limits instead of the short ones, one line each.
    #[must_use]
    pub fn limits(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.limits);
        self.limits.push('\n');
        self
    }

    /// With names for the images in the slot's network.
    #[must_use]
    pub fn aliases(mut self, aliases: &[&str]) -> Self {
        let _ = write!(self.rest, "\n[images]\nmin = 1\nmax = 4\naliases = {aliases:?}\n");
        self
    }

    /// With a container beside the images.
    #[must_use]
    pub fn service(mut self, alias: &str, image: &str) -> Self {
        let _ = write!(self.rest, "\n[[services]]\nalias = \"{alias}\"\nimage = \"{image}\"\n");
        self
    }

    /// The file.
    #[must_use]
    pub fn toml(&self) -> String {
        format!("slug = \"{}\"\n{}\n[limits]\n{}{}", self.slug, self.toml, self.limits, self.rest)
    }
}
