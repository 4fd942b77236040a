//! The Terraform of `infra/terraform`: that it can be read, that variables are declared, used and
//! described, that it holds no secret, and that machines get what they need at their first start.
//!
//! `terraform validate` looks at more, and needs `terraform` and, for the clouds, their providers, which
//! are not everywhere to be had. Each test says which check it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail, ensure};
use portcall_tests::parts::given;

const CLOUDS: [&str; 2] = ["digitalocean", "upcloud"];
const NFT: &str = "/usr/sbin/nft";
const MODULES: [&str; 3] = ["digitalocean", "machines", "upcloud"];

fn folder(module: &str) -> PathBuf {
    given::checkout().join("infra/terraform").join(module)
}

/// The files of a module by name.
fn files(module: &str) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder(module))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tf") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    ensure!(!files.is_empty(), "{module} has no files");
    Ok(files)
}

/// What is wrong with a module, as far as its text tells.
fn complaints(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut complaints = Vec::new();
    let (mut declared, mut used) = (BTreeSet::new(), BTreeSet::new());
    for (file, text) in files {
        let body = match hcl::parse(text) {
            Ok(body) => body,
            Err(error) => {
                complaints.push(format!("{file}: {error}"));
                continue;
            }
        };
        for block in body.blocks() {
            let name = block.labels().first().map(|label| label.as_str().to_owned());
            let kind = block.identifier();
            if !matches!(kind, "variable" | "output") {
                continue;
            }
            let name = name.unwrap_or_default();
            let described = block.body().attributes().any(|a| a.key() == "description");
            if !described {
                complaints.push(format!("{file}: {kind} {name} is not described"));
            }
            if kind == "variable" && !declared.insert(name.clone()) {
                complaints.push(format!("{file}: variable {name} is there twice"));
            }
        }
        used.extend(variables(text));
        complaints.extend(secrets(text).map(|line| format!("{file}: is that a secret? {line}")));
    }
    let undeclared = used.difference(&declared).map(|name| format!("{name} is not declared"));
    let unused = declared.difference(&used).map(|name| format!("{name} is not used"));
    complaints.extend(undeclared.chain(unused));
    complaints
}

/// The variables that a text refers to. A variable's own validation is no use of it.
fn variables(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut found, mut own) = (BTreeSet::new(), None);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("variable \"") {
            own = rest.split('"').next();
        } else if line == "}" {
            own = None;
        }
        if line.trim_start().starts_with('#') {
            continue;
        }
        for (at, _) in line.match_indices("var.") {
            let name: &str = line[at + 4..].split(|c| !part(c)).next().unwrap_or_default();
            if !line[..at].ends_with(part) && own != Some(name) {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

/// Lines that give something a secret's name and a value that stands there.
fn secrets(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| {
        let Some((name, value)) = line.split_once('=') else { return false };
        let name = name.trim().to_lowercase();
        let secret = ["token", "password", "secret", "private_key", "credential"];
        let named = secret.iter().any(|word| name.ends_with(word));
        named && value.trim().starts_with('"')
    })
}

#[test]
fn variables_are_declared_used_and_described() -> Result<()> {
    for module in MODULES {
        let complaints = complaints(&files(module)?);
        ensure!(complaints.is_empty(), "{module}:\n{}", complaints.join("\n"));
    }
    println!("checked by a parser of HCL: syntax, variables, descriptions, secrets");
    Ok(())
}

/// The control: each fault is found.
#[test]
fn each_fault_of_a_module_is_found() -> Result<()> {
    let good = files("digitalocean")?;
    ensure!(complaints(&good).is_empty());
    let faults = [
        ("variable \"idle\" {\n  description = \"x\"\n}\n", "idle is not used"),
        ("output \"x\" {\n  value = var.nobody\n}\n", "nobody is not declared"),
        ("output \"x\" {\n  value = 1\n}\n", "output x is not described"),
        ("variable \"name\" {\n  description = \"x\"\n}\n", "variable name is there twice"),
        ("resource \"a\" \"b\" {\n", "bad.tf:"),
        ("locals {\n  api_token = \"abc\"\n}\n", "is that a secret?"),
    ];
    for (text, told) in faults {
        let mut bad = good.clone();
        bad.insert("bad.tf".to_owned(), text.to_owned());
        let complaints = complaints(&bad);
        ensure!(complaints.iter().any(|c| c.contains(told)), "{text}: {complaints:?}");
    }
    let unread = "variable \"own\" {\n  validation {\n    condition = var.own > 1\n  }\n}\n";
    ensure!(variables(unread).is_empty(), "its own validation is no use of it");
    Ok(())
}

/// The resources of a cloud that a machine is made by: those that are given user data.
fn machines(cloud: &str) -> Result<Vec<hcl::Block>> {
    let mut found = Vec::new();
    for text in files(cloud)?.values() {
        let body = hcl::parse(text)?;
        let machine = |block: &&hcl::Block| {
            block.identifier() == "resource"
                && block.body().attributes().any(|a| a.key() == "user_data")
        };
        found.extend(body.blocks().filter(machine).cloned());
    }
    Ok(found)
}

/// A changed address of a trusted machine is in the user data of every grader, and both clouds make a
/// machine anew whose user data changed.
#[test]
fn no_machine_is_made_anew_for_its_user_data() -> Result<()> {
    for cloud in CLOUDS {
        let machines = machines(cloud)?;
        assert_eq!(machines.len(), 2, "{cloud}: trusted machines and graders");
        for machine in machines {
            let lifecycle = machine.body().blocks().find(|b| b.identifier() == "lifecycle");
            let ignored = lifecycle
                .and_then(|l| l.body().attributes().find(|a| a.key() == "ignore_changes"))
                .map(|attribute| attribute.expr().to_string());
            let ignored = ignored.unwrap_or_default();
            ensure!(ignored.contains("user_data"), "{cloud}: {:?}: {ignored}", machine.labels());
        }
    }
    Ok(())
}

/// A default would hold wherever the file with the numbers is not, and destroy all other graders.
#[test]
fn the_numbers_of_graders_have_no_default() -> Result<()> {
    for cloud in CLOUDS {
        let text = files(cloud)?.remove("variables.tf").context("no variables.tf")?;
        let body = hcl::parse(&text)?;
        let is_graders =
            |block: &&hcl::Block| block.labels().iter().any(|label| label.as_str() == "graders");
        let graders = body.blocks().find(is_graders).context("no variable graders")?;
        ensure!(!graders.body().attributes().any(|a| a.key() == "default"), "{cloud}");
    }
    Ok(())
}

/// Terraform itself, if it is there.
struct Terraform(PathBuf);

impl Terraform {
    fn find() -> Option<Self> {
        let path = std::env::split_paths("/usr/local/bin:/usr/bin:/bin")
            .map(|folder| folder.join("terraform"));
        path.into_iter().find(|path| path.is_file()).map(Self)
    }

    fn run(&self, module: &str, data: &Path, arguments: &[&str]) -> Result<Output> {
        let chdir = format!("-chdir={}", folder(module).display());
        let mut command = Command::new(&self.0);
        command.arg(chdir).args(arguments).env_clear();
        command.env("TF_DATA_DIR", data).env("HOME", data).env("CHECKPOINT_DISABLE", "1");
        command.env("TF_IN_AUTOMATION", "1");
        Ok(command.output()?)
    }

    fn done(&self, module: &str, data: &Path, arguments: &[&str]) -> Result<String> {
        let output = self.run(module, data, arguments)?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "terraform {arguments:?} of {module}: {told}{error}");
        Ok(told)
    }
}

#[test]
fn terraform_reads_the_files_as_they_are_written() -> Result<()> {
    let Some(terraform) = Terraform::find() else {
        println!("terraform is not here: only the parser of HCL looked at the files");
        return Ok(());
    };
    let data = tempfile::tempdir()?;
    for module in MODULES {
        terraform.done(module, data.path(), &["fmt", "-check", "-diff", "-no-color"])?;
        println!("{module}: terraform fmt -check");
    }
    let Some(plugins) = given::terraform_plugins() else {
        println!("the clouds: no terraform validate, since no folder of providers was given");
        return Ok(());
    };
    for module in CLOUDS {
        let data = tempfile::tempdir()?;
        let from = format!("-plugin-dir={}", plugins.display());
        terraform.done(module, data.path(), &["init", "-input=false", "-backend=false", &from])?;
        terraform.done(module, data.path(), &["validate", "-no-color"])?;
        println!("{module}: terraform validate");
    }
    Ok(())
}

/// What the machines of both clouds do at their first start needs no provider: it is planned as a
/// whole, and what comes out is read as a machine reads it.
#[test]
fn machines_get_what_they_need_at_their_first_start() -> Result<()> {
    let Some(terraform) = Terraform::find() else {
        println!("terraform is not here: what machines do at their first start was not looked at");
        return Ok(());
    };
    let data = tempfile::tempdir()?;
    let state = format!("-state={}", data.path().join("state").display());
    terraform.done("machines", data.path(), &["init", "-input=false", "-backend=false"])?;
    terraform.done("machines", data.path(), &["validate", "-no-color"])?;
    let given = [
        "-var=trusted=[\"10.110.0.11\",\"10.110.0.12\"]",
        "-var=network=10.110.0.0/24",
        "-var=fenced=10.110.0.128/25",
        "-var=disk=/dev/vdb",
    ];
    let apply = ["apply", "-auto-approve", "-input=false", "-no-color", &state];
    terraform.done("machines", data.path(), &[&apply[..], &given[..]].concat())?;
    println!("machines: terraform validate and apply");
    let output = |name: &str| {
        terraform.done("machines", data.path(), &["output", "-no-color", &state, "-raw", name])
    };
    let (grader, trusted) = (output("grader")?, output("trusted")?);
    for data in [&grader, &trusted] {
        ensure!(data.starts_with("#cloud-config\n"), "{data}");
        // What both clouds take.
        ensure!(data.len() < 60 * 1024, "{} bytes", data.len());
        ensure!(!data.contains("SWMTKN"), "no token of a swarm");
        ensure!(data.contains("\"manage_etc_hosts\": false"), "a name would be gone: {data}");
    }
    for wanted in [
        "TRUSTED=10.110.0.11,10.110.0.12",
        "QUARANTINE_PORT=5001",
        "NETWORK=10.110.0.0/24",
        "DISK=/dev/vdb",
        "overlay2.size=256M",
        "RequiresMountsFor=/var/lib/docker",
        "\"path\": \"/opt/portcall/prepare\"",
        "- \"/opt/portcall/prepare\"",
    ] {
        ensure!(grader.contains(wanted), "no {wanted} in\n{grader}");
    }
    // Packages that cloud-init installs would come before m1 serves them, an engine before its disk.
    ensure!(!grader.contains("\"packages\":") && !grader.contains("/etc/docker/daemon.json\""));
    for wanted in ["/etc/systemd/system/docker.service.d/portcall.conf", "/etc/docker/api"] {
        ensure!(trusted.contains(wanted), "no {wanted} in\n{trusted}");
    }
    for data in [&grader, &trusted] {
        ensure!(!data.contains("PRIVATE KEY"), "no key of ours");
    }
    ensure!(trusted.contains("ip saddr != 10.110.0.128/25 accept"), "{trusted}");
    // Every file that the settings of a node are made of arrives.
    let nodes = given::checkout().join("infra/nodes");
    let arrives = |path: &str| grader.contains(&format!("\"path\": \"/opt/portcall/{path}\""));
    for entry in walk(&nodes)? {
        let path = entry.strip_prefix(given::checkout())?.to_string_lossy().into_owned();
        ensure!(arrives(&path), "{path} does not arrive");
    }
    ensure!(arrives("infra/lib/say.sh"));
    let scripts = between(&grader, "#!/usr/bin/env bash\n", "  \"path\"");
    ensure!(scripts.len() == 1);
    check("bash", &["-n"], &scripts[0])?;
    let fences = between(&trusted, "#!/usr/sbin/nft -f\n", "  \"path\"");
    ensure!(fences.len() == 1);
    match Path::new(NFT).is_file() {
        true => check(NFT, &["--check", "--file"], &fences[0])?,
        false => println!("nft is not here: the trusted machines' packet filter was not looked at"),
    }
    Ok(())
}

fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(walk(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

/// The texts in a YAML that begin and end so, without their indentation.
fn between(yaml: &str, begin: &str, end: &str) -> Vec<String> {
    let texts = yaml.match_indices(begin).map(|(at, _)| {
        let text = yaml[at..].split(end).next().unwrap_or_default();
        text.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect::<Vec<_>>()
    });
    texts.map(|lines| lines.join("\n")).collect()
}

/// Has a program look at a text.
fn check(program: &str, arguments: &[&str], text: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("text");
    fs::write(&path, text)?;
    let output = Command::new(program).args(arguments).arg(&path).output();
    let output = output.with_context(|| format!("{program} cannot be run"))?;
    if !output.status.success() {
        bail!("{program}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
