//! Modules of one crate and the edges between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use crate::imports::absolute_paths;

/// Modules with the modules that they name. A module is its path below `src`, as `vault::seal`; the root is
/// empty. Edges from a module to one that contains it are omitted.
pub struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    /// Reads the source of a crate.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or parsed.
    pub fn of_crate(source: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        read_modules(source, &[], &mut files)?;
        let edges = files.iter().map(|(module, text)| {
            let path: Vec<_> = module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
            let paths = absolute_paths(&path, text).map_err(|error| io::Error::other(format!("{module}: {error}")))?;
            let targets = paths.iter().map(|path| longest_module(path, &files));
            let targets = targets.filter(|target| !contains(target, module)).collect();
            Ok((module.clone(), targets))
        });
        edges.collect::<io::Result<_>>().map(Self)
    }

    /// Returns the graph with modules merged: `name` returns the group of a module.
    #[must_use]
    pub fn grouped(&self, name: impl Fn(&str) -> String) -> Self {
        let mut groups = BTreeMap::<String, BTreeSet<String>>::new();
        for (module, targets) in &self.0 {
            let group = name(module);
            let targets = targets.iter().map(|target| name(target)).filter(|target| *target != group);
            groups.entry(group.clone()).or_default().extend(targets.collect::<Vec<_>>());
        }
        Self(groups)
    }

    /// Returns the graph without one module and its edges.
    #[must_use]
    pub fn without(mut self, module: &str) -> Self {
        self.0.remove(module);
        for targets in self.0.values_mut() {
            targets.remove(module);
        }
        self
    }

    pub fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(from, targets)| targets.iter().map(move |to| (from.as_str(), to.as_str())))
    }

    /// Returns the groups of modules that reach each other, largest first.
    #[must_use]
    pub fn cycles(&self) -> Vec<BTreeSet<&str>> {
        let reached: BTreeMap<_, _> = self.0.keys().map(|module| (module.as_str(), self.reach(module))).collect();
        let mut cycles = BTreeSet::new();
        for (module, all) in &reached {
            let back = |other: &&&str| reached.get(**other).is_some_and(|theirs| theirs.contains(module));
            let cycle: BTreeSet<_> = all.iter().filter(back).copied().collect();
            if !cycle.is_empty() {
                cycles.insert(cycle);
            }
        }
        let mut cycles: Vec<_> = cycles.into_iter().collect();
        cycles.sort_by_key(|cycle| std::cmp::Reverse(cycle.len()));
        cycles
    }

    fn reach(&self, module: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&str> = self.targets(module).collect();
        while let Some(target) = next.pop() {
            if reached.insert(target) {
                next.extend(self.targets(target));
            }
        }
        reached
    }

    fn targets(&self, module: &str) -> impl Iterator<Item = &str> {
        self.0.get(module).into_iter().flatten().map(String::as_str)
    }
}

fn contains(outer: &str, inner: &str) -> bool {
    outer.is_empty() || outer == inner || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with("::"))
}

fn longest_module(path: &[String], modules: &BTreeMap<String, String>) -> String {
    let prefixes = (1..=path.len()).rev().filter_map(|length| path.get(..length)).map(|prefix| prefix.join("::"));
    prefixes.into_iter().find(|prefix| modules.contains_key(prefix)).unwrap_or_default()
}

fn read_modules(folder: &Path, path: &[String], files: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let inner = [path, &[name.to_owned()]].concat();
        match name {
            "tests" => {}
            _ if file.is_dir() => read_modules(&file, &inner, files)?,
            "mod" | "lib" | "main" => {
                files.insert(path.join("::"), fs::read_to_string(&file)?);
            }
            _ if file.extension().is_some_and(|extension| extension == "rs") => {
                files.insert(inner.join("::"), fs::read_to_string(&file)?);
            }
            _ => {}
        }
    }
    Ok(())
}
