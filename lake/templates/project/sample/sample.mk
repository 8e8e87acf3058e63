# The sample: a city's bicycles. `make remove-sample` takes it out; nothing else has to be edited.
.PHONY: demo remove-sample

demo: setup ## the sample: two days in batch, two more as a stream
	@BIN="$(BIN)" sh sample/demo.sh

remove-sample: ## delete the sample's tables, tests and landing files
	@xargs rm -f < sample/files.txt
	@find tests lakehouse_assets sample -depth -type d -empty -delete
