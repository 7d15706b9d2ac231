//! Prints what the register says, a line per fact, for scripts; writes and checks the generated files.

use std::{fs, path::PathBuf};

use anyhow::{Context, bail};
use bahi_register::{Env, Register, Site, generated};

const USAGE: &str = "usage: register [--root FOLDER] COMMAND
  services            names of the services, in order
  databases           service and database
  graph               services that have a part of the graph
  topics              names of the topics
  port NAME           HTTP port of a service
  admin NAME          its port for those who run it, if it has one
  grpc NAME           gRPC port of a service, if it has one
  routes              path, service, class and permissions, longest path first
  searches            kind, path, service and permission of what a search finds
  env NAME            environment of a native process, as NAME=value
  migrate-env NAME    the same for `<service> migrate`
  sql                 roles and databases, for psql
  compose             the fleet's part of docker-compose.yml
  prometheus          scrape targets
  write               writes every generated file
  check               fails when a generated file is not what the register says";

fn main() -> anyhow::Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut root = PathBuf::from(".");
    if args.first().is_some_and(|first| first == "--root") {
        root = args.get(1).context(USAGE)?.into();
        args.drain(..2);
    }
    let register = Register::load(root.join("deploy/services.toml"))?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["services"] => register
            .services()
            .iter()
            .for_each(|service| println!("{}", service.name)),
        ["graph"] => register
            .services()
            .iter()
            .filter(|service| service.graph)
            .for_each(|service| println!("{}", service.name)),
        ["databases"] => register
            .databases()
            .for_each(|(service, database)| println!("{} {database}", service.name)),
        ["topics"] => register
            .topics
            .names
            .iter()
            .for_each(|name| println!("{name}")),
        ["port", name] => println!("{}", register.service(name)?.http),
        ["admin", name] => register
            .service(name)?
            .admin
            .iter()
            .for_each(|port| println!("{port}")),
        ["grpc", name] => register
            .service(name)?
            .grpc
            .iter()
            .for_each(|port| println!("{port}")),
        ["routes"] => routes(&register),
        ["searches"] => register.searches().for_each(|(service, search)| {
            println!(
                "{} {} {} {}",
                search.kind, search.path, service.name, search.read
            )
        }),
        ["env", name] => print_env(&native()?.run_env(&register, register.service(name)?)?),
        ["migrate-env", name] => {
            print_env(&native()?.migrate_env(&register, register.service(name)?)?)
        }
        ["sql"] => {
            print_file(&register, "infra/postgres/roles.sql")?;
            print_file(&register, "infra/postgres/databases.sql")?;
        }
        ["compose"] => print_file(&register, "docker-compose.yml")?,
        ["prometheus"] => print_file(&register, "infra/prometheus/fleet.json")?,
        ["write"] => write(&register, &root)?,
        ["check"] => check(&register, &root)?,
        _ => bail!(USAGE),
    }
    Ok(())
}

fn native() -> Result<Site, bahi_register::Error> {
    Site::native(|name| std::env::var(name).ok())
}

fn print_env(env: &Env) {
    for (name, value) in env {
        println!("{name}={value}");
    }
}

fn routes(register: &Register) {
    for (service, route) in register.routes() {
        let permission =
            |permission: &Option<String>| permission.clone().unwrap_or_else(|| "-".into());
        let token = if route.public { "public" } else { "token" };
        println!(
            "{} {} {} {token} {} {}",
            route.path,
            service.name,
            route.class.name(),
            permission(&route.read),
            permission(&route.write)
        );
    }
}

fn print_file(register: &Register, path: &str) -> anyhow::Result<()> {
    for file in generated(register)?
        .into_iter()
        .filter(|file| file.path == path)
    {
        print!("{}", file.text);
    }
    Ok(())
}

fn write(register: &Register, root: &std::path::Path) -> anyhow::Result<()> {
    for file in generated(register)? {
        let path = root.join(file.path);
        let current = fs::read_to_string(&path).unwrap_or_default();
        let wanted = file
            .applied_to(&current)
            .with_context(|| format!("{} has no markers", file.path))?;
        if wanted != current {
            fs::write(&path, wanted).with_context(|| format!("cannot write {}", file.path))?;
            println!("{}", file.path);
        }
    }
    Ok(())
}

fn check(register: &Register, root: &std::path::Path) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for file in generated(register)? {
        let current = fs::read_to_string(root.join(file.path)).unwrap_or_default();
        if file.applied_to(&current).as_ref() != Some(&current) {
            stale.push(file.path);
        }
    }
    if !stale.is_empty() {
        bail!(
            "not what the register says: {}; run `cargo run -p bahi-register -- write`",
            stale.join(", ")
        );
    }
    Ok(())
}
