//! `moxxy health`.

use crate::{
    Options,
    client::{Call, Client},
    failure::Done,
    terminal::{self, text},
};

pub async fn run(options: &Options) -> Done {
    let (client, terminal) = (Client::new(options)?, options.terminal());
    let health = client.answer(Call::get("/v1/health")).await?;
    terminal.show(&health, |health| {
        terminal::fields([
            ("Server", client.address().to_owned()),
            ("Status", text(health, "status")),
            ("Version", text(health, "version")),
            ("Database", text(health, "database")),
            ("Components", text(health, "components")),
        ])
    })
}
