//! Where references lead: nowhere but to the registries of the event, and to no address that is
//! not on the internet unless the operator says so.

use std::{fs, net::IpAddr};

use anyhow::{Context, Result, ensure};
use portcall_tests::{Event, Submission, World, parts::misbehaving::Lure};
use reqwest::StatusCode;

use crate::ask::{Scene, Want::*, stored};

const DENIED: &str = "image_host_denied";
const NAME: &str = "image_name_invalid";

/// A name of this machine's own that stands for an address of its own and is not `localhost`.
fn name_of_this_machine() -> Result<String> {
    let hosts = fs::read_to_string("/etc/hosts")?;
    let names = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        let plain = |name: &&str| !name.starts_with("localhost") && *name == name.to_lowercase();
        words.find(plain).filter(|_| address == IpAddr::from([127, 0, 0, 1]))
    });
    let name = names.map(str::to_owned).next();
    name.context("/etc/hosts has no name beside localhost for 127.0.0.1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_the_event_does_not_name_is_denied() -> Result<()> {
    let scene = Scene::set(|plan, _| plan).await?;
    let port = scene.lure.port();
    let name = name_of_this_machine()?;
    let denied = [
        format!("127.0.0.1:{port}/x"),
        format!("localhost:{port}/x"),
        format!("{name}:{port}/x"),
        format!("127.1:{port}/x"),
        format!("0x7f.1:{port}/x"),
        format!("2130706433:{port}/x"),
        format!("0.0.0.0:{port}/x"),
        "localhost/x".to_owned(),
        "127.0.0.1:2375/x".to_owned(),
        "mongo:27017/x".to_owned(),
        "169.254.169.254/x".to_owned(),
        "internal.lan/x".to_owned(),
        "0x7f.1/x".to_owned(),
        "xn--80ak6aa92e.com/x".to_owned(),
        "registry-1.docker.io/library/x".to_owned(),
        "docker.io.evil.test/library/x".to_owned(),
    ];
    let names = [
        format!("[::1]:{port}/x"),
        format!("[::ffff:127.0.0.1]:{port}/x"),
        format!("http://127.0.0.1:{port}/x"),
        format!("user:secret@127.0.0.1:{port}/x"),
        format!("127.0.0.1:{port}/../x"),
        format!("127.0.0.1:{port}/x?y"),
        format!("127.0.0.1:{port}:{port}/x"),
        format!("sha256:{}", "0".repeat(64)),
        "0".repeat(64),
    ];
    let denied = denied.into_iter().map(|r| (r, Refused(DENIED, "takes no images from")));
    let names = names.into_iter().map(|r| (r, Refused(NAME, "")));
    scene.ask_all(denied.chain(names).collect()).await?;
    scene.leave().await
}

/// Names that are none and need nothing to be made.
const NAMES: &[&str] = &[
    "",
    " ",
    "   ",
    "\u{3000}",
    ".",
    "..",
    "../../etc",
    "u/../x",
    "u/./x",
    "/u/x",
    "/etc/passwd",
    "//u/x",
    "u//x",
    "u/x/",
    "U/App",
    "u/App",
    "u/app:",
    ":tag",
    "u/app:.tag",
    "u/app:-tag",
    "u/app:a:b",
    "u/app:a/b",
    "u/app@",
    "u/app@sha256:",
    "u/app@sha256:xyz",
    "u/app --privileged",
    "u/app\n",
    "u/app\r\nHost: x",
    "u/app\t",
    " u/app x",
    "u/app%2f..",
    "u/app%00",
    "u/app\0",
    "u/\u{430}pp",
    "u/app\u{200b}",
    "u/app\u{202e}",
    "\u{feff}u/app",
    "\u{ff55}/app",
    "u\\app",
    "http://h/x",
    "https://h/x",
    "docker://h/x",
    "oci-archive:/x",
    "oci:/x:y",
    "docker-archive:/etc/passwd",
    "file:///etc/passwd",
    "user:pass@h/x",
    "user@h/x",
    "h:99999/x",
    "h:0/x",
    "h:443:443/x",
    "h:/x",
    "h:-1/x",
    "h:0x50/x",
    "[::1]/x",
    "[::1]:80/x",
    "u/app?x=y",
    "u/app#x",
    "{{.Node.Hostname}}",
    "u/{{.Service.Name}}",
    "$(id)",
    "`id`",
    "${HOME}/x",
    "u/app;id",
    "u/app|id",
    "u/app&id",
    "u/*",
    "~/x",
    "-v",
    "--help",
    "--privileged/x",
    "-h.example/x",
    "u/-x",
    "u/x-",
    "u/.x",
    "u/x.",
    "u/_x",
    "u/a..b",
    "u/a___b",
    "u/a._b",
];

/// Every kind of name that is none, whoever might read it otherwise: as a path, another transport, an
/// option, a template, a command, or as an id of the engine's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_is_refused_before_anybody_reads_it_otherwise() -> Result<()> {
    let scene = Scene::set(|plan, _| plan).await?;
    let host = scene.lure.host();
    let (hex, long_tag) = ("0".repeat(64), "t".repeat(129));
    let made = [
        format!("u/app@sha256:{}", &hex[1..]),
        format!("u/app@sha256:{hex}0"),
        format!("u/app@sha256:{}", "A".repeat(64)),
        format!("u/app@md5:{}", "0".repeat(32)),
        format!("@sha256:{hex}"),
        format!("u/app@sha256:{hex}@sha256:{hex}"),
        hex.clone(),
        format!("sha256:{hex}"),
        format!("u/app:{long_tag}"),
        "a".repeat(256),
        format!("u/{}", "a/".repeat(200)),
    ];
    let names = NAMES.iter().copied().chain(made.iter().map(String::as_str));
    let rows: Vec<_> = names.map(|name| (name.to_owned(), Refused(NAME, ""))).collect();
    scene.ask_all(rows).await?;
    // Names like any other, of registries that the event does not name.
    let denied = ["xn--80ak6aa92e.com/x", "h:443/x", "host.example/x", "localhost/x", "h:1/x"];
    let rows = denied.map(|name| (name.to_owned(), Refused(DENIED, "takes no images from")));
    scene.ask_all(rows.to_vec()).await?;
    // One that fills a body alone is never read to its end.
    let good = Submission::of("Gordon").reference(&scene.registry.reference("good"));
    let endless = good.reference(&format!("{host}/{}", "a".repeat(1 << 20)));
    let answer = scene.world.client.post(&endless).await?;
    ensure!(answer.status == StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.text);
    ensure!(stored(&scene.world).await? == 0, "one of them got further");
    scene.leave().await
}

/// The same listener with the host check switched off, which is to say: with its host allowed.
#[tokio::test(flavor = "multi_thread")]
async fn the_control_a_lure_that_is_allowed_is_asked() -> Result<()> {
    let scene = Scene::set(|plan, lure| plan.allow_registry(&lure.host())).await?;
    let reference = format!("{}/x:1", scene.lure.host());
    scene.ask(&reference, &Refused("image_manifest_invalid", "")).await?;
    let visits = scene.lure.connections();
    ensure!(visits.len() == 1, "{visits:?}");
    ensure!(visits[0].words.starts_with("GET /v2/x/manifests/1 "), "{visits:?}");
    ensure!(!visits[0].words.to_lowercase().contains("authorization"), "{visits:?}");
    scene.world.leave().await
}

/// The event names them, and still nobody connects: neither to addresses that are not on the
/// internet, nor to names that stand for one, nor to what only some readers take for an address.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_stands_for_a_private_address_is_denied() -> Result<()> {
    let name = name_of_this_machine()?;
    let hosts = |lure: &Lure| {
        let port = lure.port();
        [
            (format!("{name}:{port}"), "has no address on the internet"),
            (format!("0.0.0.0:{port}"), "has no address on the internet"),
            (format!("10.0.0.1:{port}"), "has no address on the internet"),
            (format!("100.64.0.1:{port}"), "has no address on the internet"),
            (format!("224.0.0.1:{port}"), "has no address on the internet"),
            ("169.254.169.254".to_owned(), "has no address on the internet"),
            ("192.168.0.1".to_owned(), "has no address on the internet"),
            (format!("127.1:{port}"), "ambiguous"),
            (format!("0x7f.1:{port}"), "ambiguous"),
            (format!("0177.0.0.1:{port}"), "ambiguous"),
            (format!("2130706433:{port}"), "ambiguous"),
        ]
    };
    let plan = |plan: portcall_tests::parts::stack::Plan, lure: &Lure| {
        hosts(lure).iter().fold(plan, |plan, (host, _)| plan.allow_registry(host))
    };
    let scene = Scene::set(plan).await?;
    let rows =
        hosts(&scene.lure).map(|(host, words)| (format!("{host}/x:1"), Refused(DENIED, words)));
    scene.ask_all(rows.to_vec()).await?;
    scene.leave().await
}

/// The control of the control: a host of the operator's own may have any address.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_of_the_operators_own_may_be_anywhere() -> Result<()> {
    let name = name_of_this_machine()?;
    for (setting, speaks) in [
        ("PORTCALL_HTTP_REGISTRIES", "GET /v2/x/manifests/1 "),
        // The beginning of a TLS record.
        ("PORTCALL_PRIVATE_REGISTRIES", "\u{16}\u{3}\u{1}"),
    ] {
        let scene = Scene::set(|plan, lure| {
            let host = format!("{name}:{}", lure.port());
            plan.allow_registry(&host).api_setting(setting, host)
        })
        .await?;
        let host = format!("{name}:{}", scene.lure.port());
        let submission = Submission::of("Gordon").reference(&scene.registry.reference("good"));
        scene.world.client.post(&submission.reference(&format!("{host}/x:1"))).await?;
        let visits = scene.lure.connections();
        ensure!(visits.len() == 1 && visits[0].words.starts_with(speaks), "{setting}: {visits:?}");
        scene.world.leave().await?;
    }
    Ok(())
}

/// An event that names no registries takes images from the public ones, and from what was allowed
/// when it was applied; loopback is none of them.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_takes_images_from_the_public_registries() -> Result<()> {
    let world = World::of(Event::config()).workers(0).start().await?;
    let reference = format!("127.0.0.1:{}/x:1", 9);
    let answer = world.client.post(&Submission::of("Gordon").reference(&reference)).await?;
    ensure!(answer.status == StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
    let hint = answer.json["errors"][0]["hint"].as_str().unwrap_or_default();
    let public = format!("docker.io, ghcr.io, quay.io, {}.", world.registry.host());
    ensure!(hint.ends_with(&public), "{}", answer.text);
    world.leave().await
}
