//! Writes the supergraph from the schemas of the services, or checks that it is what they make.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use bahi_compose::{Subgraph, changes, compose, operations, plan};
use clap::Parser;

/// Puts the schemas of the services together
#[derive(Parser)]
struct Args {
    /// Folder of the schemas, `<service>.graphql`, and of the supergraph
    #[arg(long, default_value = "proto/graphql")]
    folder: PathBuf,
    /// Folder of documents that clients send, each of which must be plannable
    #[arg(long, default_value = "proto/graphql/documents")]
    documents: PathBuf,
    /// Where the supergraph is written; beside the schemas when absent
    #[arg(long)]
    out: Option<PathBuf>,
}

const SUPERGRAPH: &str = "supergraph.graphql";

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "graphql") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn run(args: &Args) -> anyhow::Result<()> {
    let mut subgraphs = Vec::new();
    for path in files(&args.folder)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if name != "supergraph" {
            subgraphs.push(Subgraph {
                name: name.into_owned(),
                sdl: fs::read_to_string(&path)?,
            });
        }
    }
    let supergraph = compose(&subgraphs)?;
    let mut operations = operations(&supergraph)?;
    for path in files(&args.documents)? {
        operations.push(fs::read_to_string(path)?);
    }
    plan(&supergraph, &operations)?;
    let kept = args.folder.join(SUPERGRAPH);
    if let Ok(before) = fs::read_to_string(&kept) {
        for change in changes(&before, &supergraph)? {
            println!("breaking: {change}");
        }
    }
    let out = args.out.clone().unwrap_or(kept);
    fs::write(&out, &supergraph).with_context(|| out.display().to_string())?;
    println!(
        "{} subgraphs, {} operations planned",
        subgraphs.len(),
        operations.len()
    );
    Ok(())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compose: {error:#}");
            ExitCode::FAILURE
        }
    }
}
