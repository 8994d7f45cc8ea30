//! `moxxy health`: shows the server's status.

use crate::{
    Options,
    client::{Call, Client},
    failure::CliResult,
    terminal::{self, text},
};

pub(crate) async fn run(options: &Options) -> CliResult {
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
