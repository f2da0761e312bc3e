//! `orchctl du`.

use roundtable_shared::view::{DiskView, Query};

use super::answer;
use crate::args::DuArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::session::reader;

pub(super) async fn run(context: &Context, args: &DuArgs) -> Result<Exit> {
    let disk: DiskView = reader(context).await?.query(&Query::Disk).await?;
    answer(args.json, &disk, output::disk::render)?;
    Ok(Exit::Complete)
}
