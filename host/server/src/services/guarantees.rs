//! Guarantees of what a component can never do, as text. They follow from its imports and grants, and hold whatever
//! its code does.

use std::collections::BTreeSet;

use moxxy_types::{components::Description, grants::Mode};

use crate::services::permissions::GrantedPermissions;

/// Returns the guarantees as sentences without a subject.
pub fn list(component: &Description, granted: &GrantedPermissions) -> Vec<String> {
    let lacks = |interface: &str| {
        component.imports.as_ref().is_some_and(|imports| !imports.iter().any(|import| import == interface))
    };
    let holds = |mode: Mode| granted.secrets.iter().any(|grant| grant.mode == mode);
    let mut never = vec!["Read or write files, open sockets, start programs, or see the environment".to_owned()];
    if lacks("wasi:http/outgoing-handler") || granted.hosts.is_empty() {
        never.push("Reach any host".to_owned());
    } else {
        let hosts: BTreeSet<_> = granted.hosts.iter().map(|request| request.host.as_str()).collect();
        never.push(format!("Reach another host than {}", listed(hosts)));
    }
    if lacks("moxxy:plugin/vault") || granted.secrets.is_empty() {
        never.push("Use a secret".to_owned());
        return never;
    }
    let names: BTreeSet<_> = granted.secrets.iter().map(|grant| grant.name.as_str()).collect();
    never.push(format!("Use another secret than {}", listed(names)));
    if lacks("moxxy:plugin/vault-reveal") || !holds(Mode::Reveal) {
        never.push("See the value of a secret".to_owned());
    }
    if lacks("moxxy:plugin/vault-sign") || !holds(Mode::Sign) {
        never.push("Sign with a secret".to_owned());
    }
    never
}

fn listed(names: BTreeSet<&str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}
