//! What the stack's files are filled with: a file of settings, the environment, and what a deploy
//! itself knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use portcall_shared::{settings::Reader, store::submissions::sha256_hex};

use super::{DeployArgs, IMAGES, file, service::Service, version::Version};
use crate::failure::{Failure, chain};

/// How much of a sum sets two sets of files apart.
const SUM: usize = 12;

/// What a deploy itself goes by, whether or not a file of the stack does.
const OWN: [&str; 3] = ["PORTCALL_STACK_IMAGES", "PORTCALL_DOCKER_HOST", "PORTCALL_DOCKER_CERTS"];

/// Variables by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Variables {
    all: BTreeMap<String, String>,
    /// Those of them that the file of settings names.
    of_file: BTreeSet<String>,
}

impl Variables {
    /// From a file, if one is given, and the environment, which wins.
    pub(super) fn read(file: Option<&Path>, reader: &Reader) -> Result<Self, Failure> {
        let mut all = match file {
            None => BTreeMap::new(),
            Some(file) => {
                let text = fs::read_to_string(file);
                let text =
                    text.map_err(|e| Failure::Usage(format!("{}: {}", file.display(), chain(&e))))?;
                parse(&text).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?
            }
        };
        let of_file = all.keys().cloned().collect();
        all.extend(reader.given().iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(Self { all, of_file })
    }

    pub(super) fn all(&self) -> &BTreeMap<String, String> {
        &self.all
    }

    /// Refuses a name of the file of settings that nothing would come of. (The environment may have names
    /// that are for other commands.)
    pub(super) fn check_names(&self, files: &[PathBuf]) -> Result<(), Failure> {
        let (mut taken, mut fixed) = (BTreeSet::from(OWN.map(str::to_owned)), BTreeSet::new());
        for path in files {
            for line in file::lines(&file::read(path)?) {
                taken.extend(substituted(line));
                let key = line.trim_start().trim_start_matches("- ").split([':', '=']).next();
                fixed.extend(key.map(str::to_owned));
            }
        }
        let idle = self.of_file.difference(&taken).map(|name| match fixed.contains(name) {
            true => {
                format!("{name}: the stack's files give it a value of their own, and take none")
            }
            false => {
                format!("{name}: no file of the stack mentions it, so no service would have it")
            }
        });
        let idle: Vec<String> = idle.collect();
        match idle.is_empty() {
            true => Ok(()),
            false => Err(Failure::Usage(format!("{}\ntake it out of --settings", idle.join("\n")))),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.all.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What the names of our images begin with. There is none that would do for everybody: without a
    /// registry's name they would go to a stranger's folder on Docker Hub.
    pub(super) fn prefix(&self) -> Result<&str, Failure> {
        self.get("PORTCALL_STACK_IMAGES").ok_or_else(|| {
            let message = "PORTCALL_STACK_IMAGES is not set: it names the registry that our images go to and \
                that all trusted machines reach, such as registry.example/portcall (docker login it first)";
            Failure::Usage(message.to_owned())
        })
    }

    /// The names of our images in a version.
    pub(super) fn images(&self, version: &Version) -> Result<Vec<String>, Failure> {
        let prefix = self.prefix()?;
        let name = |image: &&str| format!("{prefix}/{image}:{}", version.tag());
        Ok(IMAGES.iter().map(name).collect())
    }

    /// The swarm's managers, where the workers find them.
    pub(super) fn managers(&self) -> Vec<String> {
        let all = self.get("PORTCALL_DOCKER_HOST").unwrap_or_default();
        all.split(',').map(str::trim).filter(|h| !h.is_empty()).map(str::to_owned).collect()
    }

    /// The folder of certificates for them.
    pub(super) fn certs(&self) -> Option<&str> {
        self.get("PORTCALL_DOCKER_CERTS")
    }

    /// With what a deploy adds: the version, the sums of the stack's files, and how many there are of
    /// what runs already.
    pub(super) fn for_stack(
        mut self,
        version: &Version,
        args: &DeployArgs,
        before: &[Service],
    ) -> Result<Self, Failure> {
        self.all.extend(sums(&args.files)?);
        let mut set = |name: &str, value: String| self.all.insert(name.to_owned(), value);
        set("PORTCALL_STACK_TAG", version.tag().to_owned());
        for service in before {
            let name = match service.name.as_str() {
                "api" => "PORTCALL_STACK_APIS",
                "worker" => "PORTCALL_STACK_WORKERS",
                _ => continue,
            };
            set(name, service.replicas.to_string());
        }
        if let Some(workers) = args.workers {
            set("PORTCALL_STACK_WORKERS", workers.to_string());
        }
        Ok(self)
    }
}

/// The variables that are filled into a line: `$NAME`, `${NAME}`, and with more after it `${NAME:-…}`.
fn substituted(line: &str) -> Vec<String> {
    let part = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let plain = line.replace("$$", "");
    let places = plain.split('$').skip(1).map(|rest| rest.strip_prefix('{').unwrap_or(rest));
    places.map(|rest| rest.chars().take_while(part).collect()).collect()
}

/// Lines of NAME=VALUE, empty ones and comments.
fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        match line.split_once('=') {
            Some((name, value)) if name.starts_with("PORTCALL_") && name.chars().all(part) => {
                all.insert(name.to_owned(), value.trim().trim_matches('"').to_owned());
            }
            _ => {
                return Err(format!(
                    "line {}: expected NAME=VALUE, a NAME of infra/env.sample",
                    n + 1
                ));
            }
        }
    }
    Ok(all)
}

/// The variables in the names of the stack's configs, each with a sum over its file: a line
/// `name: …${VARIABLE…}`, and below it a line `file: PATH`.
fn sums(files: &[PathBuf]) -> Result<BTreeMap<String, String>, Failure> {
    let folder = files.first().and_then(|file| file.parent()).unwrap_or(Path::new(""));
    let read = |path: &Path| {
        fs::read_to_string(path)
            .map_err(|e| Failure::Usage(format!("{}: {}", path.display(), chain(&e))))
    };
    let mut all = BTreeMap::new();
    for file in files {
        let mut variable = None;
        for line in read(file)?.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("name: ") {
                let inside = name.split_once("${").map(|(_, rest)| rest);
                variable = inside.and_then(|rest| rest.split([':', '}']).next().map(str::to_owned));
            } else if let (Some(path), Some(variable)) =
                (line.strip_prefix("file: "), variable.take())
            {
                let content = read(&folder.join(path.trim()))?;
                let sum = sha256_hex(content.as_bytes()).chars().take(SUM).collect();
                all.insert(variable, sum);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_settings_is_read_and_the_environment_wins() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("settings");
        let text = "# a comment\n\nPORTCALL_STACK_IMAGES=10.0.0.9:5000/portcall\n\
            PORTCALL_PUBLIC_URL=\"https://a.example\"\nPORTCALL_LOG=info,portcall=debug\n";
        fs::write(&file, text).unwrap();
        let own = [("PORTCALL_LOG".to_owned(), "warn".to_owned())].into();
        let variables = Variables::read(Some(&file), &Reader::from_map(own)).unwrap();
        let all: Vec<(&str, &str)> =
            variables.all().iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            all,
            [
                ("PORTCALL_LOG", "warn"),
                ("PORTCALL_PUBLIC_URL", "https://a.example"),
                ("PORTCALL_STACK_IMAGES", "10.0.0.9:5000/portcall"),
            ]
        );
        assert_eq!(variables.prefix().unwrap(), "10.0.0.9:5000/portcall");
    }

    #[test]
    fn a_name_that_no_file_of_the_stack_takes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let (settings, stacks) = (file("deploy.env"), [file("a.yaml"), file("b.yaml")]);
        let text = "a:\n  image: ${PORTCALL_STACK_IMAGES:?}/a:${PORTCALL_STACK_TAG:?}\n  environment:\n\
            \n    PORTCALL_A: ${PORTCALL_A:-${PORTCALL_B}}\n    PORTCALL_FIXED: /run/x\n\
            \n    PORTCALL_D: $PORTCALL_D\n    # PORTCALL_NO: ${PORTCALL_NO}\n    X: $${PORTCALL_TWICE}\n";
        fs::write(&stacks[0], text).unwrap();
        fs::write(&stacks[1], "b: { environment: [\"PORTCALL_C=${PORTCALL_C}\", PORTCALL_SET=1] }\n- PORTCALL_LISTED=1\n")
            .unwrap();
        let told = |lines: &[&str], own: &[&str], files: &[PathBuf]| {
            fs::write(
                &settings,
                lines.iter().map(|name| format!("{name}=1\n")).collect::<String>(),
            )
            .unwrap();
            let own = own.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
            let variables = Variables::read(Some(&settings), &Reader::from_map(own)).unwrap();
            match variables.check_names(files) {
                Ok(()) => String::new(),
                Err(Failure::Usage(told)) => told,
                Err(other) => panic!("{other:?}"),
            }
        };
        let good = ["PORTCALL_A", "PORTCALL_B", "PORTCALL_C", "PORTCALL_D", "PORTCALL_STACK_TAG"];
        assert_eq!(told(&good, &[], &stacks), "");
        assert_eq!(told(&OWN, &[], &stacks), "", "what a deploy goes by itself");
        assert_eq!(told(&[], &["PORTCALL_NO"], &stacks), "", "the environment is for others too");
        assert!(told(&["PORTCALL_C"], &[], &stacks[..1]).contains("PORTCALL_C: no file"));
        for name in ["PORTCALL_NO", "PORTCALL_TWICE", "PORTCALL_AA", "PORTCALL_STACK_TAGS"] {
            let told = told(&["PORTCALL_A", name], &[name], &stacks);
            assert!(
                told.starts_with(&format!("{name}: no file of the stack mentions it")),
                "{told}"
            );
            assert_eq!(told.lines().count(), 2, "{told}");
        }
        for name in ["PORTCALL_FIXED", "PORTCALL_LISTED"] {
            let told = told(&[name], &[], &stacks);
            assert!(
                told.starts_with(&format!("{name}: the stack's files give it a value")),
                "{told}"
            );
        }
    }

    #[test]
    fn the_stack_takes_what_is_said_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (settings, stack) = (dir.path().join("deploy.env"), dir.path().join("stack.yaml"));
        fs::write(&stack, include_str!("../../../stack.yaml")).unwrap();
        for (name, good) in [
            ("PORTCALL_OTLP_ENDPOINT", true),
            ("PORTCALL_STREAMS", true),
            ("PORTCALL_PRIVATE_WEBHOOKS", true),
            ("PORTCALL_STACK_SECRETS", true),
            ("PORTCALL_SEAL_KEY_FILE", false),
            ("PORTCALL_STREAM", false),
        ] {
            fs::write(&settings, format!("{name}=1\n")).unwrap();
            let none = Reader::from_map(BTreeMap::new());
            let variables = Variables::read(Some(&settings), &none).unwrap();
            assert_eq!(variables.check_names(std::slice::from_ref(&stack)).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn images_go_to_no_registry_that_nobody_named() {
        for given in [BTreeMap::new(), [("PORTCALL_STACK_IMAGES".to_owned(), String::new())].into()]
        {
            let variables = Variables::read(None, &Reader::from_map(given)).unwrap();
            let told = variables.images(&Version::given("1").unwrap());
            assert!(matches!(told, Err(Failure::Usage(told)) if told.contains("STACK_IMAGES")));
        }
        let given = [("PORTCALL_STACK_IMAGES".to_owned(), "portcall".to_owned())].into();
        let variables = Variables::read(None, &Reader::from_map(given)).unwrap();
        let images = variables.images(&Version::given("1").unwrap()).unwrap();
        assert_eq!(images[0], "portcall/api:1");
    }

    #[test]
    fn what_is_no_setting_is_told_with_its_line() {
        for (text, line) in [("PORTCALL_A=1\nexport B=2\n", 2), ("PATH=/bin\n", 1), ("x\n", 1)] {
            let told = parse(text).unwrap_err();
            assert!(told.starts_with(&format!("line {line}: ")), "{told}");
        }
    }

    #[test]
    fn another_content_is_another_sum_of_that_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let (stack, a, b) = ([file("stack.yaml")], file("a.cfg"), file("b.cfg"));
        let text = "configs:\n  a:\n    name: x-${SUM_A:-0}\n    file: a.cfg\n\
            \n  b:\n    name: x-${SUM_B}\n    file: b.cfg\n  c:\n    name: x-c\n    file: b.cfg\n";
        fs::write(&stack[0], text).unwrap();
        fs::write(&a, "one").unwrap();
        fs::write(&b, "one").unwrap();
        let one = sums(&stack).unwrap();
        assert_eq!(one.keys().collect::<Vec<_>>(), ["SUM_A", "SUM_B"]);
        assert_eq!(one["SUM_A"], one["SUM_B"]);
        fs::write(&a, "two").unwrap();
        let two = sums(&stack).unwrap();
        assert_ne!(one["SUM_A"], two["SUM_A"]);
        assert_eq!(one["SUM_B"], two["SUM_B"]);
        fs::remove_file(&a).unwrap();
        assert!(matches!(sums(&stack), Err(Failure::Usage(told)) if told.contains("a.cfg")));
    }

    #[test]
    fn managers_are_a_list() {
        let given = [("PORTCALL_DOCKER_HOST".to_owned(), "tcp://a:2376, tcp://b:2376,".to_owned())];
        let variables = Variables::read(None, &Reader::from_map(given.into())).unwrap();
        assert_eq!(variables.managers(), ["tcp://a:2376", "tcp://b:2376"]);
    }
}
