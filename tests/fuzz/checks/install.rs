//! Uploads, as far as they are read before they are compiled.

/// It is a component whose imports are all known, or an error that says why not.
pub(crate) fn check(data: &[u8]) {
    match moxxy_runtime::accepted(data.to_vec()) {
        Ok(component) => {
            assert!(moxxy_runtime::world_of(&component).is_some());
            // What was taken, or made of a module, is taken again as it is.
            assert!(moxxy_runtime::accepted(component.clone()).is_ok_and(|again| again == component));
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
}
