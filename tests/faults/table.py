"""The table of what must be survived: each row's number, what happens, and the tests that show it.

`make faults` runs it and prints a line a row; `test_table.py` holds it whole.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    number: int
    fault: str
    tests: tuple[str, ...]


def row(number: int, fault: str, *tests: str) -> Row:
    return Row(number, fault, tests)


ROWS = (
    row(1, "worker killed while fitting", "faults/test_workers.py::test_killed_while_fitting_gives_the_same_digest"),
    row(2, "worker killed while labelling", "faults/test_workers.py::test_killed_while_labelling_loses_nothing"),
    row(
        3,
        "driver killed, started again",
        "result/test_recovery.py::test_kills_at_any_moment_lose_nothing",
        "result/test_recovery.py::test_two_kills_in_a_row_are_no_worse",
        "test_label.py::test_killed_at_ten_random_moments_and_started_again",
        "stream/test_watch.py::test_killed_at_any_moment_and_started_again",
    ),
    row(
        4,
        "scheduler killed",
        "faults/test_scheduler.py::test_a_lost_scheduler_is_told_at_once_and_the_run_can_go_on",
        "faults/test_scheduler.py::test_no_scheduler_at_an_address_is_one_line",
    ),
    row(5, "worker hangs", "faults/test_workers.py::test_a_worker_that_hangs_is_replaced"),
    row(
        6,
        "frame kills its worker or exhausts it",
        "faults/test_workers.py::test_a_frame_that_cannot_be_labelled_is_quarantined_and_all_others_finish",
        "faults/test_workers.py::test_in_threads_as_well",
        "faults/test_workers.py::test_a_fit_on_a_frame_that_kills_says_so",
        "test_cli.py::test_a_quarantined_frame_exits_with_3",
    ),
    row(
        7,
        "disk full",
        "faults/test_files.py::test_a_full_disk_stops_cleanly",
        "test_label.py::test_no_space_left_stops_cleanly_and_goes_on_after",
        "stream/test_events.py::test_a_full_disk_is_told",
    ),
    row(
        8,
        "n-th write, rename, fsync fails",
        "result/test_recovery.py::test_death_and_failure_at_every_operation",
        "stream/test_compact.py::test_killed_at_any_step_it_is_old_or_new_and_finishes",
    ),
    row(
        9,
        "ledger cut, bits flipped",
        "result/test_ledger.py::test_every_cut_leaves_the_lines_that_are_whole",
        "result/test_ledger.py::test_every_flipped_bit_ends_the_trust_at_its_line",
        "result/test_ledger.py::test_random_damage_never_makes_a_record",
        "result/test_ledger.py::test_every_cut_of_a_ledger_keeps_a_prefix_and_can_go_on",
    ),
    row(
        10,
        "label chunk flipped, cut, empty, zeroed",
        "result/test_verify.py::test_each_damage_is_found_and_mended",
        "result/test_verify.py::test_a_flip_of_any_byte_is_found",
        "test_label.py::test_damaged_blocks_are_found_and_computed_again",
        "stream/test_compact.py::test_damaged_frames_are_labelled_again",
    ),
    row(
        11,
        "movie cut",
        "io/test_truncated.py",
        "faults/test_files.py::test_a_movie_that_is_cut_while_it_is_labelled_loses_its_tail_only",
        "faults/test_files.py::test_a_movie_without_one_frame_left_stops_the_run",
    ),
    row(
        12,
        "movie changed before resume",
        "faults/test_files.py::test_a_movie_that_changed_is_refused_on_resume",
        "test_label.py::test_another_movie_or_model_is_refused",
    ),
    row(
        13,
        "NaN, inf, dead lines",
        "test_label.py::test_dead_data_change_nothing_beyond_their_reach",
        "test_label.py::test_a_dead_region_is_invalid_inside",
        "prepare/test_quality.py",
    ),
    row(
        14,
        "uint16, big-endian, read-only, Fortran order",
        "test_label.py::test_dtype_byte_order_and_layout_do_not_matter",
        "io/test_opening.py::test_arrays_become_native",
    ),
    row(
        15,
        "constant, tiny, empty, absurd frames; K too large",
        "test_cli.py::test_mistakes_give_one_clear_line_and_touch_nothing",
        "test_cli.py::test_more_phases_than_sample_points",
        "test_fit.py::test_movies_that_cannot_be_fitted_say_so",
        "test_fit.py::test_windows_larger_than_the_frame_are_refused",
        "faults/test_files.py::test_one_frame_and_one_phase_are_valid",
        "faults/test_files.py::test_frames_of_absurd_values_are_invalid",
        "io/test_refused.py::test_zero_frames",
    ),
    row(
        16,
        "declared shape or chunk beyond memory",
        "io/test_refused.py::test_absurd_shapes_are_refused_before_allocating",
        "io/test_refused.py::test_a_frame_no_camera_has",
    ),
    row(
        17,
        "two drivers on one result",
        "test_label.py::test_a_second_writer_is_refused",
        "result/test_lock.py::test_a_living_writer_is_refused_and_a_killed_one_taken_over",
        "stream/test_watch.py::test_another_model_source_or_writer_is_refused",
    ),
    row(
        18,
        "shards and blocks misaligned",
        "result/test_layout.py::test_no_layout_that_shares_a_shard_can_be_made",
        "result/test_layout.py::test_a_tile_of_any_size_is_safe_or_refused",
        "result/test_layout.py::test_every_element_and_every_shard_has_one_writer",
    ),
    row(
        19,
        "other model or recipe on resume",
        "test_label.py::test_another_movie_or_model_is_refused",
        "test_cli.py::test_run_with_another_k_on_a_result_is_refused",
        "result/test_ledger.py::test_another_model_movie_or_recipe_is_refused_and_shown",
    ),
    row(
        20,
        "live frames out of order, twice, late, missing; shrinking",
        "stream/test_lanes.py",
        "stream/test_folder.py",
        "stream/test_growing.py",
        "stream/test_watch.py",
    ),
    row(
        21,
        "names that lead elsewhere, links, absolute paths",
        "io/test_catalog.py::test_paths_that_leave_the_folder",
        "io/test_catalog.py::test_links_that_leave_the_folder",
        "faults/test_files.py::test_a_descriptor_name_in_a_model_is_a_registered_name_only",
        "faults/test_files.py::test_table_names_stay_in_the_result",
        "faults/test_files.py::test_an_archive_that_names_files_outside_writes_nothing",
        "faults/test_files.py::test_a_ledger_cannot_name_files",
        "faults/test_files.py::test_a_symlinked_shard_is_replaced_and_not_followed",
        "io/test_refused.py::test_unusual_hdf5_links_are_not_followed",
        "test_security.py::test_addresses_of_other_kinds_are_refused",
    ),
    row(
        22,
        "pickles",
        "io/test_refused.py::test_pickles_are_never_loaded",
        "io/test_refused.py::test_no_counts",
        "test_security.py::test_pickles_behind_codecs_of_zarr",
        "test_security.py::test_a_pickle_in_the_columns_of_a_table",
        "test_model.py::test_a_pickle_in_a_model_is_never_executed",
        "test_imports.py::test_imports_point_down",
    ),
    row(
        23,
        "YAML tags, alias bombs, huge documents",
        "io/test_catalog.py::test_what_is_refused",
        "io/test_catalog.py::test_an_alias_bomb_is_not_unfolded",
    ),
    row(
        24,
        "Ctrl-C, SIGTERM, clock jump",
        "test_cli.py::test_interrupted_runs_exit_with_130_and_go_on",
        "test_cli_live.py::test_interrupted_it_exits_with_130_and_goes_on",
        "faults/test_files.py::test_a_clock_that_jumps_changes_nothing",
    ),
    row(
        25,
        "wrong object, dims, units",
        "faults/test_files.py::test_what_is_no_movie_is_told_got_wanted_and_what_to_do",
        "faults/test_files.py::test_times_that_do_not_fit",
        "io/test_opening.py::test_options_that_do_not_fit",
    ),
    row(26, "lock of a dead process, of another host", "result/test_lock.py"),
)
