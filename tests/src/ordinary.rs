//! Ordinary images: web servers from Debian packages, started as root the way such images
//! usually are, over one large layer that they share (`tests/images/ordinary`).

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::{
    image::{File, Layer, Recipe},
    parts::given,
    registry::{Image, Registry},
};

/// The name in the registry; each image is a tag, so that the layer is pushed once.
const NAME: &str = "ordinary";
const ANSWER: &str = "{\"name\":\"Gordon\",\"vote\":\"Cats\"}";

/// Which image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordinary {
    /// nginx with a master as root and workers as www-data.
    Nginx,
    /// Apache in the foreground.
    Apache,
    /// Flask under gunicorn.
    Flask,
    /// Express on Node.
    Express,
    /// PHP's own server.
    Php,
    /// Redis, for events that provide one.
    Redis,
}

impl Ordinary {
    /// Those that answer `GET /getconfig` for Gordon and cats.
    pub const WEB: [Self; 5] = [Self::Nginx, Self::Apache, Self::Flask, Self::Express, Self::Php];

    /// Its tag.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache",
            Self::Flask => "flask",
            Self::Express => "express",
            Self::Php => "php",
            Self::Redis => "redis",
        }
    }

    /// What it runs.
    #[must_use]
    pub fn cmd(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["nginx", "-g", "daemon off;"],
            Self::Apache => &["apachectl", "-D", "FOREGROUND"],
            Self::Flask => &["gunicorn", "-b", "0.0.0.0:80", "app:app"],
            Self::Express => &["node", "app.js"],
            Self::Php => &["php", "-S", "0.0.0.0:80", "-t", "/srv"],
            Self::Redis => &["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no"],
        }
    }

    /// The app's own files, which are all that is laid over the packages.
    fn files(self) -> Vec<File> {
        match self {
            Self::Nginx => vec![File::text(
                "etc/nginx/sites-enabled/default",
                &format!(
                    "server {{\n  listen 80 default_server;\n  location = /getconfig {{\n    \
                     default_type application/json;\n    return 200 '{ANSWER}';\n  }}\n}}\n"
                ),
            )],
            Self::Apache => vec![
                File::text("var/www/html/getconfig", ANSWER),
                File::text(
                    "etc/apache2/conf-enabled/app.conf",
                    "ServerName app\n<Files getconfig>\n  ForceType application/json\n</Files>\n",
                ),
            ],
            Self::Flask => vec![File::text(
                "srv/app.py",
                "from flask import Flask, jsonify\n\napp = Flask(__name__)\n\n\n\
                 @app.get('/getconfig')\ndef getconfig():\n    \
                 return jsonify(name='Gordon', vote='Cats')\n",
            )],
            Self::Express => vec![File::text(
                "srv/app.js",
                "const express = require('express');\nconst app = express();\n\
                 app.get('/getconfig', (_, answer) => answer.json({ name: 'Gordon', vote: 'Cats' }));\n\
                 app.listen(80);\n",
            )],
            Self::Php => vec![File::text(
                "srv/index.php",
                "<?php\nheader('Content-Type: application/json');\n\
                 echo json_encode(['name' => 'Gordon', 'vote' => 'Cats']);\n",
            )],
            Self::Redis => Vec::new(),
        }
    }

    /// The image, over the shared layer.
    ///
    /// # Errors
    /// When the layer cannot be read.
    pub fn recipe(self, base: &Layer) -> Result<Recipe> {
        let mut recipe = Recipe::scratch()
            .layer(base.clone())
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .config("WorkingDir", json!("/srv"))
            .cmd(self.cmd());
        let files = self.files();
        if !files.is_empty() {
            recipe = recipe.layer(Layer::of(&files)?);
        }
        Ok(recipe)
    }

    /// Pushes it; the shared layer only if the registry does not have it.
    ///
    /// # Errors
    /// When there is no layer or the registry refuses.
    pub async fn push(self, registry: &Registry) -> Result<Image> {
        let recipe = self.recipe(&Layer::at(&folder()?)?)?;
        registry.push(&format!("{NAME}:{}", self.tag()), &recipe).await
    }
}

/// Where the shared layer is: given, or found (made the first time) by its script.
fn folder() -> Result<PathBuf> {
    if let Some(folder) = given::ordinary() {
        return Ok(folder);
    }
    let script = given::checkout().join("tests/images/ordinary");
    let made = Command::new(&script)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {}", script.display()))?;
    if !made.status.success() {
        bail!("{} failed: {}", script.display(), made.status);
    }
    let folder = PathBuf::from(String::from_utf8(made.stdout)?.trim());
    ensure!(folder.is_dir(), "{} made no folder", script.display());
    Ok(folder)
}
