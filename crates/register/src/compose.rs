//! The fleet's part of docker-compose.yml.

use crate::{
    Error, Register, Service, Site,
    files::line,
    site::{Env, password_name},
};

/// The services of the register, as they stand between the markers of docker-compose.yml.
pub(crate) fn fleet(register: &Register) -> Result<String, Error> {
    let site = Site::containers();
    let mut yaml = String::new();
    databases(&mut yaml, register, &site)?;
    for service in register.services() {
        if service.database.is_some() {
            migration(&mut yaml, service, &site.migrate_env(register, service)?);
        }
        process(
            &mut yaml,
            register,
            service,
            &site.run_env(register, service)?,
        );
    }
    Ok(yaml)
}

/// Runs at every start: a service that is new in the register gets its roles and its database.
fn databases(yaml: &mut String, register: &Register, site: &Site) -> Result<(), Error> {
    yaml.push_str(
        "  databases:
    <<: *psql
    environment:
      PGHOST: postgres
      PGUSER: bahi_admin
      PGDATABASE: postgres
",
    );
    line(
        yaml,
        format_args!(
            "      PGPASSWORD: \"{}\"",
            (site.password)(&password_name("bahi_admin"))?
        ),
    );
    let roles = register
        .databases()
        .flat_map(|(service, _)| service.owner_role().into_iter().chain(service.app_role()));
    for role in std::iter::once("bahi_relay".to_owned()).chain(roles) {
        let name = password_name(&role);
        line(
            yaml,
            format_args!("      {name}: \"{}\"", (site.password)(&name)?),
        );
    }
    yaml.push('\n');
    Ok(())
}

fn image(yaml: &mut String, service: &Service) {
    let name = &service.name;
    line(
        yaml,
        format_args!("    image: bahi/{name}:${{BAHI_TAG:-dev}}"),
    );
    line(
        yaml,
        format_args!("    build: {{ context: ., args: {{ SERVICE: {name} }} }}"),
    );
}

fn environment(yaml: &mut String, env: &Env) {
    yaml.push_str("    environment:\n");
    for (name, value) in env {
        line(yaml, format_args!("      {name}: \"{value}\""));
    }
}

fn migration(yaml: &mut String, service: &Service, env: &Env) {
    line(yaml, format_args!("  {}-migrate:", service.name));
    yaml.push_str("    <<: *once\n");
    image(yaml, service);
    yaml.push_str("    command: [\"migrate\"]\n");
    environment(yaml, env);
    yaml.push_str(
        "    depends_on:
      databases: { condition: service_completed_successfully }
      keys: { condition: service_completed_successfully }

",
    );
}

fn process(yaml: &mut String, register: &Register, service: &Service, env: &Env) {
    let relays = service.name == "outbox-worker";
    line(yaml, format_args!("  {}:", service.name));
    yaml.push_str("    <<: *service\n");
    image(yaml, service);
    environment(yaml, env);
    // Only the edge is reachable from outside; the rest is asked through it.
    if service.name == "api-gateway" {
        line(
            yaml,
            format_args!("    ports: [\"127.0.0.1:{0}:{0}\"]", service.http),
        );
    }
    line(
        yaml,
        format_args!(
            "    healthcheck: {{ <<: *health, test: [\"CMD\", \"/usr/local/bin/ready\", \"{}\"] }}",
            service.http
        ),
    );
    yaml.push_str("    depends_on:\n      keys: { condition: service_completed_successfully }\n      redis: { condition: service_healthy }\n      topics: { condition: service_completed_successfully }\n");
    if service.bucket.is_some() || register.exports_of(service).is_some() {
        yaml.push_str("      buckets: { condition: service_completed_successfully }\n");
    }
    for (other, _) in register
        .databases()
        .filter(|(other, _)| relays || other.name == service.name)
    {
        line(
            yaml,
            format_args!(
                "      {}-migrate: {{ condition: service_completed_successfully }}",
                other.name
            ),
        );
    }
    yaml.push('\n');
}
